"""The process that answers the page's questions: `python -m ticktape.replay.dashboard_worker DIR`.

A line of JSON in, a line of JSON out; it ends with its input. It steps back behind everything that
records.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from ticktape.errors import TickTapeError
from ticktape.replay.dashboard_answers import answer

_NICENESS = 15


class _Question(msgspec.Struct):
    what: str
    given: dict[str, str]


def _answer(root: Path, line: bytes) -> object:
    question = msgspec.json.decode(line, type=_Question)
    try:
        return answer(root, question.what, question.given)
    except TickTapeError as error:
        return {"words": str(error.args[0])}
    except (KeyError, ValueError):
        return {"words": "That cannot be asked."}
    except OSError as error:
        return {"words": f"A file could not be read: {error.strerror}"}


def main() -> None:
    """Answer until the input ends."""
    if hasattr(os, "nice"):
        with suppress(PermissionError):
            os.nice(_NICENESS)
    root = Path(sys.argv[1])
    sys.stdout.buffer.write(b"{}\n")  # ready: from here on the time is measured
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(msgspec.json.encode(_answer(root, line), enc_hook=str) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
