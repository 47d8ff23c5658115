"""How another process asks a running recorder for something: a file each way, in the run's folder.

A file works on every system and needs no port. Both sides write a file beside its place and move it
there, so that no half of one is ever read; and a request is taken once.
"""

import contextlib
import os
import stat
from pathlib import Path

import msgspec

from ticktape import clock
from ticktape.recorder.parent import Channels

_ASKED, _ANSWERED = ".ask.json", ".answer.json"
_FORGET_NS = 60 * clock.NS_PER_S  # an answer that nobody has fetched by then
_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_BYTES_MAX = 64 << 20  # a feed that names every symbol of a market in every channel is far below


class Request(msgspec.Struct, frozen=True):
    """A change of what a feed subscribes; without one, only the question how it stands."""

    feed: str
    add: Channels = {}
    remove: Channels = {}


class Answer(msgspec.Struct, frozen=True):
    """What became of a request.

    With `faults` nothing was changed. `wanted` is what the feed is to subscribe by now, `channels`
    what the venue acknowledged, `missing` what it did not, with its reason in `words`. `heard`:
    the venue has answered to all that is wanted. `state` is that of the session.
    """

    faults: list[str] = []
    hint: str = ""
    state: str = ""
    words: str = ""
    wanted: Channels = {}
    channels: Channels = {}
    missing: Channels = {}
    heard: bool = True


_requests = msgspec.json.Decoder(Request)
_answers = msgspec.json.Decoder(Answer)


class RequestFolder:
    """The folder, for either side; the recorder has one object for all of its run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answered: dict[str, int] = {}

    # Who asks.

    def ask(self, request: Request) -> str:
        """Put a request there; its name, by which to find the answer.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{clock.wall_now_ns()}-{os.getpid()}"
        self._put(name + _ASKED, msgspec.json.encode(request))
        return name

    def answer_to(self, name: str) -> Answer | None:
        """The answer, once it is there."""
        try:
            return _answers.decode((self._folder / (name + _ANSWERED)).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None

    def forget(self, name: str) -> bool:
        """Remove what is left of a request; whether nobody had taken it."""
        self._remove(name + _ANSWERED)
        return self._remove(name + _ASKED)

    # The recorder.

    def take(self) -> list[tuple[str, Request | None]]:
        """The requests that came, by name, oldest first; None for one that is none."""
        self._drop_old()
        found = []
        for file in self._names():
            name = file.removesuffix(_ASKED)
            if file == name or name in self._answered:
                continue
            request = self._read(file)
            # One that cannot be taken away would be done again and again: it is not done at all.
            if self._remove(file):
                found.append((name, request))
                self._answered[name] = clock.monotonic_ns()
        return found

    def _read(self, file: str) -> Request | None:
        try:
            # Whatever lies there may be no file at all, and must not make the recorder wait.
            descriptor = os.open(self._folder / file, os.O_RDONLY | _WITHOUT_WAITING)
            with open(descriptor, "rb") as source:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return None
                return _requests.decode(source.read(_BYTES_MAX))
        except (OSError, ValueError, RecursionError):
            return None

    def answer(self, name: str, answer: Answer) -> None:
        """Put an answer there; it goes when it is fetched, or after a minute.

        Raises:
            OSError: the folder cannot be written.
        """
        self._answered[name] = clock.monotonic_ns()
        self._put(name + _ANSWERED, msgspec.json.encode(answer))

    def _drop_old(self) -> None:
        now_ns = clock.monotonic_ns()
        for name in [n for n, at_ns in self._answered.items() if now_ns - at_ns > _FORGET_NS]:
            del self._answered[name]
            self.forget(name)

    def clear(self) -> None:
        """Remove all that a dead recorder, or a dead command, left behind."""
        for file in self._names():
            self._remove(file)

    # Both.

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self._folder))
        except OSError:
            return []

    def _put(self, file: str, content: bytes) -> None:
        fresh = self._folder / f"{file}.new"
        try:
            fresh.write_bytes(content)
            os.replace(fresh, self._folder / file)
        except OSError:
            self._remove(fresh.name)
            raise

    def _remove(self, file: str) -> bool:
        with contextlib.suppress(OSError):  # gone, or Windows lends it to somebody: another time
            os.unlink(self._folder / file)
            return True
        return False
