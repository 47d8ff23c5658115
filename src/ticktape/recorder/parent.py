"""A child's link to its parent: the task, the word to leave, and what the child reports.

When the parent dies its end of the pipe closes; the child then drains and leaves by itself, so
that a dead parent never leaves a recorder behind that nobody watches. And a parent that lives but
does not listen must never make a child wait: what cannot be told is kept up to a bound, then
counted and dropped.
"""

import io
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable

import msgspec

from ticktape import clock
from ticktape.recorder.task import Task, decode_task

EXIT_REFUSED = 4  # the venue will not serve this feed: do not start it again
EXIT_STOPPED = 5  # the strategy stopped itself: do not start it again
EXIT_ORPHANED = 6  # the parent died, and draining took longer than its bound
LEAVE = b"leave"  # the parent's word for that; a line of JSON is a change of the subscription

Channels = dict[str, list[str]]
"""Channel -> symbols, in the config's words."""

_channels = msgspec.json.Decoder(Channels)
encode_channels = msgspec.json.Encoder().encode

_EVENTS_MAX = 1_000  # state changes that wait for a parent that does not listen
_AGAIN_NS = clock.NS_PER_S  # how often statistics that have not changed are told again
_FAREWELL_S = 2.0  # how long the last words may take
ORPHAN_S = 120.0


class Parent:
    """The parent, as a child sees it.

    Standard input and output become this object's own: whoever else in the process reads (a
    strategy's `input()`) finds nothing, and what is printed goes to the log with standard error.
    """

    def __init__(self) -> None:
        self.leave = threading.Event()
        self.again_ns = _AGAIN_NS
        """How old statistics must be to be told though they have not changed; 0 tells all."""
        self.orphaned = False
        self._on_leave: Callable[[], None] | None = None
        self._on_change: Callable[[Channels], None] | None = None
        self._orphan_s = ORPHAN_S
        self._input, self._output = _own_streams()
        self._task_line = self._input.readline()
        self._news = threading.Condition()
        self._events: deque[bytes] = deque()
        self._statistics = b""
        self._last_statistics = b""
        self._again_at_ns = 0
        self._untold = 0
        self._closing = False
        self._teller = threading.Thread(target=self._tell_forever, name="tell", daemon=True)
        self._teller.start()
        # The terminal's Ctrl-C and its end reach the whole group; when to leave is the parent's
        # word.
        for name in ("SIGINT", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._left())

    def task(self) -> Task:
        """The task; asked once, then forgotten here."""
        line, self._task_line = self._task_line, b""
        return decode_task(line)

    def listen(
        self,
        on_leave: Callable[[], None] | None = None,
        on_change: Callable[[Channels], None] | None = None,
        *,
        orphan_s: float = ORPHAN_S,
    ) -> None:
        """Begin to listen; what the parent has said since the task is heard, too.

        Args:
            on_leave: called, in another thread, when it is time to leave.
            on_change: called, in another thread, with all that is to be subscribed from now on.
            orphan_s: when the parent is dead, nobody else would cut off a child that never
                finishes: so long it may drain, then it ends where it is.
        """
        self._on_leave = on_leave
        self._on_change = on_change
        self._orphan_s = orphan_s
        threading.Thread(target=self._listen, name="parent", daemon=True).start()

    def _listen(self) -> None:
        for line in self._input:
            if line.strip() == LEAVE:
                self._left()
                # The parent may still die while this child drains.
            elif self._on_change is not None and line.endswith(b"\n"):  # else its death cut it off
                self._on_change(_channels.decode(line))
        self.orphaned = True
        self._left()
        clock.sleep_s(self._orphan_s)
        sys.stderr.write(f"ticktape: the parent died, and {self._orphan_s:g} s were not enough\n")
        sys.stderr.flush()
        os._exit(EXIT_ORPHANED)

    def _left(self) -> None:
        if not self.leave.is_set():
            self.leave.set()
            if self._on_leave is not None:
                self._on_leave()

    def tell(self, event: str, **content: object) -> None:
        """Report something to the parent; never waits, whatever the parent does.

        Of `statistics` only the newest is kept for a parent that does not listen; those that have
        not changed are told once a second.
        """
        line = msgspec.json.encode({"event": event, **content}) + b"\n"
        if event == "statistics" and not self._is_news(line):
            return
        with self._news:
            if event == "statistics":
                self._statistics = line
            elif len(self._events) < _EVENTS_MAX:
                self._events.append(line)
            else:
                self._untold += 1
            self._news.notify()

    def _is_news(self, statistics: bytes) -> bool:
        """Whether they are to be told; a recorder that has nothing to do wakes nobody for them."""
        now_ns = clock.monotonic_ns()
        if statistics == self._last_statistics and now_ns < self._again_at_ns:
            return False
        self._last_statistics, self._again_at_ns = statistics, now_ns + self.again_ns
        return True

    def _tell_forever(self) -> None:
        try:
            while line := self._next_line():
                self._output.write(line)
                self._output.flush()
        except OSError:
            return  # the parent is gone: it hears nothing, and that is all

    def _next_line(self) -> bytes:
        with self._news:
            while True:
                if self._events:
                    return self._events.popleft()
                if self._untold:
                    words = f"{self._untold} reports were dropped: nobody took them"
                    self._untold = 0
                    return msgspec.json.encode({"event": "state", "words": words}) + b"\n"
                if self._statistics:
                    line, self._statistics = self._statistics, b""
                    return line
                if self._closing:
                    return b""
                self._news.wait()

    def close(self) -> None:
        """Say the last words, if the parent takes them soon; may be called twice."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._teller.join(_FAREWELL_S)


def _own_streams() -> tuple[io.BufferedReader, io.BufferedWriter]:
    """The pipes from and to the parent, taken out of everybody else's reach."""
    own_input, own_output = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return open(own_input, "rb"), open(own_output, "wb")
