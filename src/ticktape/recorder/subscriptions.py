"""What the feeds of a run are to subscribe, how that changes, and what the venues say to it.

The supervisor asks here twice a second for requests of `ticktape subscribe`; a changed config comes
from whoever reads the file. A child is told all of a feed's channels, and sends the difference.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from ticktape import clock
from ticktape.config import CHANNELS, Config, FeedConfig
from ticktape.errors import ConfigError
from ticktape.feeds.alpaca import CHANNELS as VENUE_WORDS
from ticktape.recorder.changes import change_words, difference, edited
from ticktape.recorder.parent import Channels, encode_channels
from ticktape.recorder.process import ChildEvent, ChildProcess
from ticktape.recorder.requests import Answer, Request, RequestFolder
from ticktape.recorder.task import CaptureTask

_LOOK_NS = clock.NS_PER_S // 2
_VENUE_ANSWERS_S = 10.0
_OURS = {theirs: ours for ours, theirs in VENUE_WORDS.items()}
_STEPS = ("connecting", "connected", "authenticated", "subscribed", "down", "refused", "stopped")
_RESTART = "Stop the recorder and start it again; until then it goes on as it was."


class Standing(msgspec.Struct, frozen=True):
    """How a feed's session stands, and what its venue acknowledged; our words for channels."""

    state: str = "starting"
    words: str = ""
    channels: Channels = {}
    missing: Channels = {}

    def answers(self, feed: FeedConfig) -> bool:
        """Whether the venue has said yes or no to all that is wanted, and sends nothing else.

        An acknowledgement that was on its way when the change was made does not.
        """
        wanted, told = _pairs(feed.channels()), _pairs(self.channels)
        answered = told | _pairs(self.missing)
        return self.state == "subscribed" and told <= wanted <= answered


class _Waiting(NamedTuple):
    feed: str
    until_ns: int


class Subscriptions:
    """The subscriptions of one run; everything here happens in the supervisor's thread.

    Args:
        config: the run's.
        folder: where requests come; what lies there of an earlier run is removed.
        say: called with what is changed, or cannot be.
    """

    def __init__(
        self, config: Config, folder: RequestFolder, say: Callable[[ChildEvent], None]
    ) -> None:
        self._config = config
        self._feeds = {feed.name: feed for feed in config.feed}
        self._standings = {name: Standing() for name in self._feeds}
        self._folder = folder
        self._say = say
        self._waiting: dict[str, _Waiting] = {}
        self._look_at_ns = 0
        folder.clear()

    # What the venues say.

    def hear(self, event: ChildEvent) -> None:
        """Take in what a child reported: how its session stands."""
        feed = event.child.removeprefix("capture-")
        if feed == event.child or feed not in self._feeds:
            return
        if event.event == "exit":
            self._standings[feed] = Standing("ended", f"its process left with {_code(event)}")
        elif event.event == "session" and event.content["content"]["event"] in _STEPS:
            said = event.content["content"]
            self._standings[feed] = Standing(
                said["event"],
                str(said.get("words", "")),
                _in_our_words(said.get("channels")),
                _in_our_words(said.get("missing")),
            )
            self._answer_waiting(feed)

    def _answer_waiting(self, feed: str) -> None:
        if self._standings[feed].answers(self._feeds[feed]):
            for name in [n for n, waiting in self._waiting.items() if waiting.feed == feed]:
                del self._waiting[name]
                self._answer(name, self._present(feed))

    # What a command asks for.

    def look(self, captures: Iterable[ChildProcess]) -> None:
        """Do what is asked for, twice a second at most, and answer those who wait too long."""
        now_ns = clock.monotonic_ns()
        if now_ns < self._look_at_ns:
            return
        self._look_at_ns = now_ns + _LOOK_NS
        for name in [n for n, waiting in self._waiting.items() if now_ns > waiting.until_ns]:
            self._answer(name, self._present(self._waiting.pop(name).feed, heard=False))
        for name, request in self._folder.take():
            try:
                self._do(name, request, captures)
            except ConfigError as error:
                self._answer(name, Answer(faults=error.faults, hint=error.hint))

    def _do(self, name: str, request: Request | None, captures: Iterable[ChildProcess]) -> None:
        if request is None:
            raise ConfigError(["the request cannot be read"], hint="Is it of this version?")
        feed = self._feeds.get(request.feed)
        if feed is None:
            raise ConfigError(
                [f"there is no feed {request.feed!r}"], hint=f"Feeds: {', '.join(self._feeds)}."
            )
        if not request.add and not request.remove:
            self._answer(name, self._present(feed.name))
            return
        until_ns = clock.monotonic_ns() + int(_VENUE_ANSWERS_S * clock.NS_PER_S)
        self._change(edited(feed, request.add, request.remove), captures)
        self._waiting[name] = _Waiting(feed.name, until_ns)

    def _change(self, feed: FeedConfig, captures: Iterable[ChildProcess]) -> None:
        child = next((each for each in captures if each.name == f"capture-{feed.name}"), None)
        if child is None or child.final or child.leaving:
            standing = self._standings[feed.name]
            words = f"feed {feed.name!r} does not record ({standing.state}: {standing.words})"
            raise ConfigError([words], hint="`ticktape record` starts it again.")
        assert isinstance(child.task, CaptureTask)
        words = change_words(self._feeds[feed.name], feed)
        self._feeds[feed.name] = feed
        task = msgspec.structs.replace(child.task, feed=feed)
        child.change(task, encode_channels(feed.channels()))
        self._say(ChildEvent(child.name, "changed", {"words": words}))

    def _present(self, feed: str, *, heard: bool = True) -> Answer:
        standing = self._standings[feed]
        return Answer(
            state=standing.state,
            words=standing.words,
            wanted={name: list(listed) for name, listed in self._feeds[feed].channels().items()},
            channels=standing.channels,
            missing=standing.missing,
            heard=heard,
        )

    def _answer(self, name: str, answer: Answer) -> None:
        try:
            self._folder.answer(name, answer)
        except OSError as error:
            words = f"a request cannot be answered: {error.strerror}"
            self._say(ChildEvent("subscribe", "trouble", {"words": words, "hint": ""}))

    # What a changed config asks for.

    def reread(self, read: Callable[[], Config], captures: Iterable[ChildProcess]) -> None:
        """Take over the channels of the config that `read` gives, and say what needs a restart.

        One that cannot be read changes nothing.
        """
        try:
            made = difference(self._config, self._feeds, read())
        except ConfigError as error:
            words = f"nothing is changed: {'; '.join(error.faults)}"
            hint = "Mend the config and send SIGHUP again; until then it goes on as it was."
            self._say(ChildEvent("config", "trouble", {"words": words, "hint": hint}))
            return
        for feed in made.feeds:
            try:
                self._change(feed, captures)
            except ConfigError as error:
                self._say(
                    ChildEvent("config", "trouble", {"words": error.args[0], "hint": error.hint})
                )
        for words in made.restarts:
            content = {"words": f"{words}: needs a restart", "hint": _RESTART}
            self._say(ChildEvent("config", "restart", content))
        if not made.feeds and not made.restarts:
            self._say(ChildEvent("config", "state", {"words": "read again; nothing is changed"}))

    def close(self) -> None:
        """Tell those who wait that nothing more will come; may be called twice."""
        for name in self._waiting:
            self._answer(name, Answer(faults=["the recorder has been stopped"]))
        self._waiting = {}


def _code(event: ChildEvent) -> str:
    return f"code {event.content.get('code')}"


def _in_our_words(channels: Channels | None) -> Channels:
    return {_OURS.get(name, name): list(listed) for name, listed in (channels or {}).items()}


def _pairs(channels: Mapping[str, Any]) -> set[tuple[str, str]]:
    """What is asked for; what comes with it by itself, as corrections do, is not."""
    return {(channel, symbol) for channel in CHANNELS for symbol in channels.get(channel, ())}
