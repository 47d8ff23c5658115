"""Keys of a terminal as they are pressed, with a bound on how long one waits for them."""

import os
import sys
from types import TracebackType
from typing import Any, Final, Self

from ticktape import clock

_LOOK_S: Final = 0.05  # where a console cannot be waited for
_KEYS: Final = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[H": "home",
    b"\x1b[1~": "home",
    b"\x1bOH": "home",
    b"\x1b": "q",
    b"\x03": "q",
    b"": "q",  # the terminal is gone
}
_WINDOWS_KEYS: Final = {"H": "up", "P": "down", "I": "page up", "Q": "page down", "G": "home"}


class Keyboard:
    """The keys of standard input, if that is a terminal; else there are none, and it only waits."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._before: list[Any] | None = None
        self._is_console = False

    def __enter__(self) -> Self:
        if not sys.stdin or not sys.stdin.isatty():
            return self
        if sys.platform == "win32":
            self._is_console = True
            return self
        import termios
        import tty

        self._descriptor = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._descriptor)
        tty.setcbreak(self._descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None and sys.platform != "win32":
            import termios

            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
            self._before = None

    def wait(self, seconds: float) -> str:
        """The next key, by its name or its letter; "" when none comes in time."""
        if self._is_console:
            return _wait_console(seconds)
        if self._descriptor < 0:
            clock.sleep_s(seconds)
            return ""
        import select

        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        return key_of(os.read(self._descriptor, 32)) if ready else ""


def key_of(raw: bytes) -> str:
    """The key that a terminal sends so; of several at once the first."""
    named = _KEYS.get(raw)
    if named is not None:
        return named
    for sequence, name in _KEYS.items():
        if len(sequence) > 1 and raw.startswith(sequence):
            return name
    return raw[:1].decode(errors="ignore") if raw[:1] != b"\x1b" else "other"


def _wait_console(seconds: float) -> str:
    if sys.platform != "win32":
        return ""
    import msvcrt

    until_ns = clock.monotonic_ns() + int(seconds * clock.NS_PER_S)
    while clock.monotonic_ns() < until_ns:
        if msvcrt.kbhit():
            first = msvcrt.getwch()
            if first in ("\x00", "\xe0"):
                return _WINDOWS_KEYS.get(msvcrt.getwch(), "other")
            return "q" if first in ("\x03", "\x1b") else first
        clock.sleep_s(_LOOK_S)
    return ""
