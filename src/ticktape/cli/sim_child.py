"""What the simulators share: JSON lines for the program that started them, and how they end.

Stdout has one JSON object per line, so that a program can start one as a child; nothing else may be
printed there.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from ticktape.errors import ConfigError

T = TypeVar("T")


def say(event: Mapping[str, object]) -> None:
    """Print one event as one line, at once."""
    print(json.dumps(event, separators=(",", ":")), flush=True)


def end_with_stdin(stop: Callable[[], object]) -> None:
    """Call `stop` from a thread of its own when stdin closes: the parent may have died."""

    def read() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        stop()

    # A daemon, because a blocked read of stdin cannot be called off.
    threading.Thread(target=read, daemon=True).start()


def collect(wrong: list[ConfigError], make: Callable[[], T]) -> T | None:
    """Return what is made, or None and the reason, so that all mistakes are told together."""
    try:
        return make()
    except ConfigError as error:
        wrong.append(error)
        return None


def joined(wrong: list[ConfigError]) -> ConfigError:
    """One error of several."""
    faults = [fault for error in wrong for fault in error.faults]
    return ConfigError(faults, hint="\n  → ".join(dict.fromkeys(error.hint for error in wrong)))
