"""A child's link to its parent: the task, the word to leave, and what the child reports.

When the parent dies its end of the pipe closes; the child then drains and leaves by itself, so
that a dead parent never leaves a recorder behind that nobody watches.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable

import msgspec

from ticktape.recorder.task import Task, decode_task

EXIT_REFUSED = 4  # the venue will not serve this feed: do not start it again
EXIT_STOPPED = 5  # the strategy stopped itself: do not start it again


class Parent:
    """The parent, as a child sees it."""

    def __init__(self) -> None:
        self.leave = threading.Event()
        self.orphaned = False
        self._on_leave: Callable[[], None] | None = None
        self._guard = threading.Lock()
        self._task_line = sys.stdin.buffer.readline()
        # The terminal's Ctrl-C reaches the whole group; when to leave is the parent's word.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._left())

    def task(self) -> Task:
        """The task; asked once, then forgotten here."""
        line, self._task_line = self._task_line, b""
        return decode_task(line)

    def listen(self, on_leave: Callable[[], None] | None = None) -> None:
        """Begin to listen; `on_leave` is called, in another thread, when it is time to leave."""
        self._on_leave = on_leave
        threading.Thread(target=self._listen, name="parent", daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            if line.strip() == b"leave":
                self._left()
                return
        self.orphaned = True
        self._left()

    def _left(self) -> None:
        if not self.leave.is_set():
            self.leave.set()
            if self._on_leave is not None:
                self._on_leave()

    def tell(self, event: str, **content: object) -> None:
        """Report something to the parent; a parent that is gone hears nothing, and that is all."""
        line = msgspec.json.encode({"event": event, **content}) + b"\n"
        with self._guard, contextlib.suppress(OSError, ValueError):
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
