"""Tells the watchdog, in the journal's order, what one feed's journal holds; pure.

Sessions, clock steps and polls are entries of our own beside the data. They must reach the watchdog
between the very rows between which they stand: a silence behind a disconnect is a gap and no alarm.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from ticktape.journal.blocks import Block
from ticktape.journal.format import KIND_SHIFT, WORD_BYTES
from ticktape.ledger.alarms import NS_PER_S, Alarm
from ticktape.ledger.coded import Coded, Picked, coded
from ticktape.ledger.counting import Brought, spans
from ticktape.ledger.watchdog import Watchdog
from ticktape.polls import Polls
from ticktape.records import EntryKind

WATCHED = ("trades", "quotes", "bars", "books", "ticks", "crypto_books")
"""Kinds that have a rhythm; a halt, a correction or an article has none."""

# The names of channels, as feeds acknowledge them, to the kind of rows that they bring. Bars of no
# minute have no rhythm of their own: a silence of them must not have minute bars asked for.
_KINDS = {each: each for each in WATCHED} | {"orderbooks": "crypto_books"}
_RHYTHMIC_SPAN = "minute"
_EVERY = "*"
_OWN_FROM = EntryKind.SESSION << (KIND_SHIFT - 24)  # in the highest byte of an entry's word


class _SessionSaid(msgspec.Struct, frozen=True):
    event: str = ""
    down_since_ns: int = 0
    channels: dict[str, list[str]] | None = None


class _ClockSaid(msgspec.Struct, frozen=True):
    step_ns: int = 0
    before_ns: int = 0


class _DroppedSaid(msgspec.Struct, frozen=True):
    frames: int = 0


_session = msgspec.json.Decoder(_SessionSaid)
_clock = msgspec.json.Decoder(_ClockSaid)
_dropped = msgspec.json.Decoder(_DroppedSaid)
_polls = msgspec.json.Decoder(Polls)


class SessionState(msgspec.Struct):
    """How the feed's session stands, by what its journal said last; kept over a restart."""

    is_up: bool = False
    channels: dict[str, list[str]] = {}


class OwnEntry:
    """An entry of our own in a feed's journal: which block holds it, its kind, its bytes."""

    __slots__ = ("index", "kind", "payload")

    def __init__(self, index: int, kind: int, payload: bytes) -> None:
        self.index = index
        self.kind = kind
        self.payload = payload

    @property
    def dropped(self) -> int:
        """Frames that it says were dropped."""
        if self.kind != EntryKind.DROPPED:
            return 0
        try:
            return max(_dropped.decode(self.payload).frames, 0)
        except (ValueError, RecursionError):
            return 0


def own_entries(blocks: Sequence[Block]) -> list[OwnEntry]:
    """The entries of our own among these blocks; a capture writes them in blocks without data."""
    return [
        OwnEntry(index, kind, payload)
        for index, block in enumerate(blocks)
        if block.body[WORD_BYTES - 1] >= _OWN_FROM
        for kind, payload in block.entries()
    ]


class FeedWatch:
    """Feeds the watchdog from one journal; `state` and `steps` of the clock are what it says."""

    def __init__(self, feed: str, watchdog: Watchdog, state: SessionState) -> None:
        self._feed = feed
        self._dog = watchdog
        self._begun = False
        self.state = state
        self.steps = 0

    def _begin(self, ns: int) -> list[Alarm]:
        """The session that stood when reading stopped stands when it begins again."""
        if self._begun:
            return []
        self._begun = True
        return self._dog.connected(self._feed, ns) if self.state.is_up else []

    def take(self, brought: Brought, own: list[OwnEntry]) -> list[Alarm]:
        """Give the watchdog these blocks and judge up to the last of them."""
        changes = self._begin(int(brought.recv_ns[0]))
        by_block: dict[int, list[OwnEntry]] = {}
        for entry in own:
            by_block.setdefault(entry.index, []).append(entry)
        # By the second, too: kinds are given one after the other, and lag is judged by the second.
        for begin, end in spans(brought.recv_ns, NS_PER_S, by_block):
            for entry in by_block.get(begin, ()):
                changes += self._hear(entry, int(brought.recv_ns[begin]))
            found = {
                kind: rows
                for kind in WATCHED
                if kind in brought.tables
                and (rows := _rhythmic(brought, kind, begin, end)) is not None
            }
            if found:
                changes += self._come_up(int(brought.recv_ns[begin]))
            for kind, rows in found.items():
                changes += self._observe(brought, kind, rows)
        return changes + self._dog.advance(self._feed, int(brought.recv_ns[-1]))

    def pass_time(self, now_ns: int) -> list[Alarm]:
        """All that came before `now_ns` was taken."""
        return self._begin(now_ns) + self._dog.advance(self._feed, now_ns)

    def _come_up(self, ns: int) -> list[Alarm]:
        """Data comes: what one read brought with the venue's word stands before the session's.

        Without this the time that it was down would be taken for a silence.
        """
        if self.state.is_up:
            return []
        self.state.is_up = True
        return self._dog.connected(self._feed, ns)

    def _observe(self, brought: Brought, kind: str, rows: Picked) -> list[Alarm]:
        codes: dict[str, Coded] = {}
        if kind == "trades":
            codes = {
                "conditions": brought.texts(kind, "conditions")[rows],
                "tapes": brought.texts(kind, "tape")[rows],
            }
        return self._dog.observe(
            self._feed,
            kind,
            brought.texts(kind, "symbol")[rows],
            brought.numbers(kind, "event_ns")[rows],
            brought.numbers(kind, "recv_ns")[rows],
            **codes,
        )

    def _hear(self, entry: OwnEntry, recv_ns: int) -> list[Alarm]:
        try:
            if entry.kind == EntryKind.SESSION:
                return list(self._hear_session(_session.decode(entry.payload), recv_ns))
            if entry.kind == EntryKind.CLOCK:
                return list(self._hear_step(_clock.decode(entry.payload), recv_ns))
            elif entry.kind == EntryKind.POLLS:
                return self._hear_polls(_polls.decode(entry.payload), recv_ns)
        except (ValueError, RecursionError):
            return []  # `check` names what cannot be read; an alarm cannot be made of it
        return []

    def _hear_step(self, said: _ClockSaid, recv_ns: int) -> Iterator[Alarm]:
        """Our clock was set: what it jumped over is no silence, nor what it goes through again."""
        self.steps += 1
        self._dog.stepped(self._feed, said.step_ns)
        if abs(said.step_ns) <= NS_PER_S:
            return
        if self.state.is_up:
            yield from self._dog.disconnected(self._feed, said.before_ns)
        if said.step_ns < 0:
            self._dog.set_back(self._feed, recv_ns)
        if self.state.is_up:
            yield from self._dog.connected(self._feed, recv_ns)

    def _hear_session(self, said: _SessionSaid, recv_ns: int) -> Iterator[Alarm]:
        is_up = said.down_since_ns == 0 and (self.state.is_up or said.event in _UP)
        if said.event == "subscribed" and said.channels is not None:
            yield from self._hear_channels(said.channels, recv_ns)
        if is_up != self.state.is_up:
            self.state.is_up = is_up
            judge = self._dog.connected if is_up else self._dog.disconnected
            # A start finds the session of a capture that died: nobody has heard anything since.
            died = said.event == "started" and not is_up
            yield from judge(self._feed, min(said.down_since_ns, recv_ns) if died else recv_ns)

    def _hear_channels(self, said: Mapping[str, list[str]], recv_ns: int) -> Iterator[Alarm]:
        channels: dict[str, set[str]] = {}
        for name, symbols in said.items():
            if name in _KINDS:
                channels.setdefault(_KINDS[name], set()).update(symbols)
        for channel, before in self.state.channels.items():
            now = channels.get(channel, set())
            gone = [symbol for symbol in before if symbol not in now]
            if gone and _EVERY not in now and _EVERY not in before:
                yield from self._dog.forget(self._feed, channel, gone, recv_ns)
        self.state.channels = {name: sorted(symbols) for name, symbols in channels.items()}

    def _hear_polls(self, said: Polls, recv_ns: int) -> list[Alarm]:
        """A book that was polled and did not change is quiet, and it is not mute."""
        symbols = [each.symbol for each in said.books if each.polls > sum(each.errors.values())]
        if not symbols:
            return []
        stamps = np.full(len(symbols), recv_ns, np.int64)
        return self._dog.observe(self._feed, "books", coded(symbols), stamps, stamps)


def _rhythmic(brought: Brought, kind: str, begin: int, end: int) -> Picked | None:
    """The rows of blocks [begin, end) that have a rhythm; None when there are none."""
    rows = brought.rows(kind, begin, end)
    if rows.start == rows.stop:
        return None
    if kind != "bars":
        return rows
    spans = brought.texts("bars", "span")[rows]
    picked = np.flatnonzero(spans.spread(lambda texts: np.array(texts) == _RHYTHMIC_SPAN))
    return picked + rows.start if len(picked) else None


_UP = ("subscribed", "linked", "flowing")
