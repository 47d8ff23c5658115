"""The recorder's log of state changes, folded into how each feed stands and what happened; pure.

A line that is none of ours is passed over: the log is for people, nothing is proved from it.
"""

from collections import deque
from typing import Any, Final, NamedTuple

import msgspec

HISTORY_MAX: Final = 20
LOG_MAX: Final = 100
_WORDS_MAX: Final = 500
_FEEDS_MAX: Final = 1_000

_CAPTURE: Final = "capture-"
_GOOD: Final = {"subscribed", "flowing", "linked", "mended", "changed"}
_BAD: Final = {"refused", "failed", "hung", "trouble", "decision_error"}
_DOUBTFUL: Final = {"down", "quiet", "stalled", "unlinked", "empty", "restart", "alarm"}
_RECEIVING: Final = {"subscribed", "flowing", "linked", "changed"}
# What else a session tells happens in it, and is no state of it.
_STATES: Final = {
    *("started", "connecting", "connected", "authenticated"),
    *("down", "refused", "stopped", "quiet", "unlinked"),
}
_STRATEGY: Final = "decide-"
_STOPPED_ITSELF: Final = 5  # the exit code of a strategy that does not go on after an error
_TELLING: Final = {"at", "child", "event"}
_QUIET_EXITS: Final = (0, None)


class Happening(msgspec.Struct, frozen=True):
    """One line of history: when (RFC 3339), who, what in one word, and in words."""

    at: str
    who: str
    event: str
    words: str
    tone: str  # good, bad, doubtful or empty


class FeedState(msgspec.Struct):
    """A feed as its session's events tell it."""

    state: str = "unknown"
    since: str = ""
    words: str = ""
    sessions: int = 0
    planned: bool = False


class Line(NamedTuple):
    """A line of the log that could be read."""

    at: str
    child: str
    event: str
    content: dict[str, Any]


class EventFold:
    """Takes the log's lines in their order; feeds by name, the newest happenings."""

    def __init__(self) -> None:
        self.feeds: dict[str, FeedState] = {}
        self.history: dict[str, deque[Happening]] = {}
        self.log: deque[Happening] = deque(maxlen=LOG_MAX)
        self.stopped_strategies: set[str] = set()
        self.version = 0

    def add(self, raw: bytes) -> None:
        """Take one line."""
        line = _line(raw)
        if line is None:
            return
        self.version += 1
        is_capture = line.child.startswith(_CAPTURE)
        if line.event == "exit" and line.child.startswith(_STRATEGY):
            self._see_strategy(line.child.removeprefix(_STRATEGY), line.content.get("code"))
        if line.event == "session" and is_capture:
            self._session(line)
        elif line.event != "exit" or line.content.get("code") not in _QUIET_EXITS:
            self._note(line.child, _happening(line, line.event, line.content))

    def _session(self, line: Line) -> None:
        said = line.content.get("content")
        if not isinstance(said, dict):
            return
        feed, event = line.child.removeprefix(_CAPTURE), str(said.get("event", ""))
        if feed not in self.feeds and len(self.feeds) >= _FEEDS_MAX:
            return
        state = self.feeds.setdefault(feed, FeedState())
        if event == "started":
            self.stopped_strategies.clear()  # a new run: its strategies begin anew
        if event in _RECEIVING or event in _STATES:
            state.state = "receiving" if event in _RECEIVING else event
            state.since, state.words = line.at, _words(said)
        state.sessions += event == "connecting"
        state.planned = bool(said.get("planned"))
        self._note(feed, _happening(line, event, said))

    def _see_strategy(self, name: str, code: object) -> None:
        if code == _STOPPED_ITSELF and len(self.stopped_strategies) < _FEEDS_MAX:
            self.stopped_strategies.add(name)

    def _note(self, who: str, happening: Happening) -> None:
        self.log.append(msgspec.structs.replace(happening, who=who))
        if who in self.history or len(self.history) < _FEEDS_MAX:
            self.history.setdefault(who, deque(maxlen=HISTORY_MAX)).append(self.log[-1])

    def is_stopped(self, feed: str) -> bool:
        """Whether the feed ended because it was told to."""
        state = self.feeds.get(feed)
        return state is not None and state.state in ("stopped", "refused")


def _line(raw: bytes) -> Line | None:
    try:
        said = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    if not all(isinstance(said.get(name), str) for name in _TELLING):
        return None
    content = {name: value for name, value in said.items() if name not in _TELLING}
    return Line(said["at"], said["child"], said["event"], content)


def _happening(line: Line, event: str, said: dict[str, Any]) -> Happening:
    tone = "good" if event in _GOOD else "bad" if event in _BAD else ""
    tone = "doubtful" if event in _DOUBTFUL or event == "exit" else tone
    return Happening(line.at, line.child, event, _words(said), tone)


def _words(said: dict[str, Any]) -> str:
    parts = [str(said[name]) for name in ("words", "hint") if said.get(name)]
    if not parts and said.get("cause"):
        parts.append(str(said["cause"]))
    channels = said.get("channels")
    if not parts and isinstance(channels, dict):
        parts.append(", ".join(f"{name} {_symbols(each)}" for name, each in channels.items()))
    if "code" in said:
        parts.append(f"code {said['code']}")
    # Of a traceback the last line says it.
    return " → ".join(part.strip().rpartition("\n")[2] for part in parts)[:_WORDS_MAX]


def _symbols(symbols: object) -> str:
    if not isinstance(symbols, list):
        return ""
    return ",".join(map(str, symbols)) if len(symbols) <= 3 else f"of {len(symbols)} symbols"
