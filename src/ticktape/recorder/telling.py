"""What the supervisor tells one child, written by a thread of its own.

A pipe takes 64 KiB, and a child that stands still takes none of it: a task or a change that names
thousands of symbols would stop the supervisor, and with it all that it looks after.
"""

import contextlib
import threading
from typing import IO


class Teller:
    """Writes lines to one process; who tells never waits.

    Args:
        pipe: the process's standard input; closed here.
        name: of the thread.
    """

    def __init__(self, pipe: IO[bytes], name: str) -> None:
        self._pipe = pipe
        self._news = threading.Condition()
        # One line of each kind at most, in the order in which the kinds came: this is its bound.
        self._lines: dict[str, bytes] = {}
        self._closing = False
        threading.Thread(target=self._write_forever, name=f"tell {name}", daemon=True).start()

    def tell(self, kind: str, line: bytes) -> None:
        """Say a line, soon; one of the same kind that still waits is no longer said."""
        with self._news:
            self._lines[kind] = line
            self._news.notify()

    def _write_forever(self) -> None:
        # What a dead process no longer read is still in the buffer when the pipe is closed.
        with contextlib.suppress(OSError), self._pipe:
            while line := self._next():
                self._pipe.write(line + b"\n")
                self._pipe.flush()

    def _next(self) -> bytes:
        with self._news:
            self._news.wait_for(lambda: self._closing or self._lines)
            if self._closing:
                return b""
            return self._lines.pop(next(iter(self._lines)))

    def close(self) -> None:
        """Let the pipe go, once the process is dead; may be called twice."""
        with self._news:
            self._closing = True
            self._news.notify()
