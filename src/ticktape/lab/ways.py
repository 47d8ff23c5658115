"""The ways on which captures go from process to process, as Python's own tools have them.

A way has two ends: `put` and `end` for who gives, `get` for who takes, which answers None when all
who give have ended. What is put crosses as pickled objects, as in the notebook; queues have no
bound, as in the notebook. None of these keeps anything when a process is killed.
"""

import queue
from multiprocessing import connection
from multiprocessing.context import SpawnContext
from typing import Any, Protocol

from ticktape import clock

_LOOK_S = 0.001  # between two looks at queues that are all empty


class Gives(Protocol):
    """The end at which captures go in."""

    def put(self, item: Any) -> None:  # noqa: ANN401 - a capture, or a packed one
        """Give one; may wait, where the way has a bound."""

    def end(self) -> None:
        """Give nothing any more."""


class Takes(Protocol):
    """The end at which captures come out."""

    def get(self) -> Any:  # noqa: ANN401
        """The next one, waiting for it; None when there will be none."""


class Way(Protocol):
    """Something to begin processes with: each gets only the end that it needs."""

    def taking(self) -> Takes:
        """The end for who takes."""

    def giving(self) -> Gives:
        """The end for who gives."""

    def forget(self) -> None:
        """Close ends that the process that made it does not need, once all have begun."""

    def close(self) -> None:
        """Let go of the rest, whatever is still in it."""


class PipeIn:
    """The reading end of a pipe."""

    def __init__(self, reader: "connection.Connection[Any, Any]") -> None:
        self.reader = reader

    def get(self) -> Any:  # noqa: ANN401
        """The next object; None at the pipe's end, also when it was cut in the middle of one."""
        try:
            return self.reader.recv()
        except (EOFError, OSError):
            return None


class PipeOut:
    """The writing end of a pipe; `put` waits when 64 KB or so are not yet taken."""

    def __init__(self, writer: "connection.Connection[Any, Any]") -> None:
        self._writer = writer

    def put(self, item: Any) -> None:  # noqa: ANN401
        """Pickle one and send it."""
        self._writer.send(item)

    def end(self) -> None:
        """Close it; who reads finds its end."""
        self._writer.close()


class Pipe:
    """A pipe from one process to one other."""

    def __init__(self, context: SpawnContext) -> None:
        reader, writer = context.Pipe(duplex=False)
        self._in, self._out = PipeIn(reader), PipeOut(writer)

    def taking(self) -> PipeIn:
        """Its reading end."""
        return self._in

    def giving(self) -> PipeOut:
        """Its writing end."""
        return self._out

    def forget(self) -> None:
        """Close both ends: a pipe ends when nobody else has its writing end."""
        self._in.reader.close()
        self._out.end()

    def close(self) -> None:
        """Nothing: there is nothing left."""


class Queue:
    """A queue without a bound, between processes (multiprocessing) or threads (queue.Queue).

    `writers` and `readers` are how many share it: it is at its end when each writer has said so,
    and each reader is told.
    """

    def __init__(self, made: Any, *, writers: int = 1, readers: int = 1) -> None:  # noqa: ANN401
        self._queue = made
        self._writers = writers
        self._readers = readers

    def put(self, item: Any) -> None:  # noqa: ANN401
        """Give one; a thread of the queue's own pickles and sends it."""
        self._queue.put(item)

    def get(self) -> Any:  # noqa: ANN401
        """The next one; None when all writers have ended."""
        while True:
            item = self._queue.get()
            if item is not None or self._has_ended():
                return item

    def get_nowait(self) -> Any:  # noqa: ANN401
        """The next one if there is one.

        Raises:
            queue.Empty: there is none now.
        """
        item = self._queue.get_nowait()
        if item is None and not self._has_ended():
            raise queue.Empty
        return item

    def _has_ended(self) -> bool:
        self._writers -= 1
        return self._writers <= 0

    def end(self) -> None:
        """Tell every reader that this writer gives nothing any more."""
        for _ in range(self._readers):
            self._queue.put(None)

    def taking(self) -> "Queue":
        """Itself."""
        return self

    def giving(self) -> "Queue":
        """Itself."""
        return self

    def forget(self) -> None:
        """Nothing: for a process that is killed, whoever made the queue says that it has ended."""

    def close(self) -> None:
        """Let go of it, and wait for nobody who would take what is in it."""
        self._queue.close()
        self._queue.cancel_join_thread()


class Turns:
    """Several ways, given to by turns."""

    def __init__(self, *ways: Any) -> None:  # noqa: ANN401
        self._ways = ways
        self._next = 0

    def giving(self) -> "Turns":
        """The same of the giving ends."""
        return Turns(*(way.giving() for way in self._ways))

    def put(self, item: Any) -> None:  # noqa: ANN401
        """Give one to the next in turn."""
        self._ways[self._next].put(item)
        self._next = (self._next + 1) % len(self._ways)

    def end(self) -> None:
        """End them all."""
        for way in self._ways:
            way.end()


class AnyPipe:
    """Several pipes, taken from as something is there: what was put first may come last."""

    def __init__(self, *pipes: Any) -> None:  # noqa: ANN401
        self._pipes = pipes
        self._ready: list[Any] = []

    def taking(self) -> "AnyPipe":
        """The same of the taking ends."""
        return AnyPipe(*(pipe.taking() for pipe in self._pipes))

    def get(self) -> Any:  # noqa: ANN401
        """The next one of a pipe that has one; None when all are at their end."""
        open_ones = {pipe.reader: pipe for pipe in self._pipes}
        while open_ones:
            if not self._ready:
                self._ready = list(connection.wait(list(open_ones)))
            reader = self._ready.pop()
            if reader not in open_ones:
                continue
            item = open_ones[reader].get()
            if item is not None:
                return item
            del open_ones[reader]
            self._pipes = tuple(open_ones.values())
        return None


class AnyQueue:
    """Several queues, taken from as something is there."""

    def __init__(self, *queues: Queue) -> None:
        self._queues = list(queues)

    def taking(self) -> "AnyQueue":
        """Itself."""
        return self

    def get(self) -> Any:  # noqa: ANN401
        """The next one of the first queue that has one; None when all are at their end."""
        while self._queues:
            for each in list(self._queues):
                try:
                    item = each.get_nowait()
                except queue.Empty:
                    continue
                if item is None:
                    self._queues.remove(each)
                    continue
                # Behind the others now, so that none of them waits for ever.
                self._queues.remove(each)
                self._queues.append(each)
                return item
            clock.sleep_s(_LOOK_S)
        return None
