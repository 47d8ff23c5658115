"""What `check` gathers while it reads one journal from its first byte to its last.

Only what stands in the segments counts here: no counter, no mapped file.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from ticktape.clock import NS_PER_S
from ticktape.decisions.log import Blocks, Start, read_logged
from ticktape.feeds.alpaca_wire import OUR_WORDS
from ticktape.journal.blocks import Block
from ticktape.journal.damage import Damage
from ticktape.journal.retention import Deleted, entries_until
from ticktape.ledger import GapInterval, Standing
from ticktape.polls import Polls, PollTotals
from ticktape.records import EntryKind, Gap, Position

DAY_NS = 86_400 * NS_PER_S
KILLED = "recording ended without a stop: the recorder was killed"


class _Dropped(msgspec.Struct):
    frames: int = 0


class _Note(msgspec.Struct):
    suspect: dict[str, int] | None = None


class _Session(msgspec.Struct):
    event: str = ""
    run: str = ""
    down_since_ns: int = 0
    channels: dict[str, list[str]] | None = None
    missing: dict[str, list[str]] | None = None


class Told(NamedTuple):
    """Something that a journal told, or that was found in it; it happened in [from_ns, to_ns].

    `to_ns` is None at the journal's end.
    """

    from_ns: int
    to_ns: int | None
    words: str
    number: int = 0

    def is_in(self, day: int | None) -> bool:
        """Whether it touches this day, by days since 1970; None is all days."""
        if day is None or not self.from_ns:
            return True  # nothing tells when it was
        last_ns = self.from_ns if self.to_ns is None else self.to_ns
        return self.from_ns // DAY_NS <= day <= last_ns // DAY_NS


_dropped = msgspec.json.Decoder(_Dropped)
_note = msgspec.json.Decoder(_Note)
_session = msgspec.json.Decoder(_Session)
_polls = msgspec.json.Decoder(Polls)

# Kinds of entry that say whether the feed is down.
_STANDING = (EntryKind.SESSION, EntryKind.CLOCK)


class JournalReading:
    """What every journal says beside its rows: what was dropped, what is suspect, what lacks.

    `deleted` is what retention took from it, which therefore does not lack.
    """

    def __init__(self) -> None:
        self.deleted: Sequence[Deleted] = ()
        self.gaps: list[Gap] = []
        self.dropped: list[Told] = []
        self.suspect: list[Told] = []
        self.missing: list[Told] = []
        self.torn: list[Told] = []
        self.epochs: set[int] = set()
        self.last_block_ns = 0
        self._starts: list[tuple[Position, int]] = []
        self._expected_seq = 0
        self._damaged: list[tuple[int, int | None]] = []

    def follow(self, blocks: list[Block], damage: list[Damage]) -> None:
        """See whether the numbers go on without a hole that no damage explains.

        Args:
            blocks: the next blocks, without damage between them.
            damage: all that the reader has met so far.
        """
        new = damage[len(self._damaged) :]
        last_ns = self.last_block_ns or blocks[0].recv_ns
        self._damaged += [(last_ns, blocks[0].recv_ns)] * len(new)
        self._starts.append((blocks[0].position, last_ns))
        lost = sum(each.entries or 0 for each in new)
        is_known = all(each.entries is not None for each in new)
        for block in blocks:
            hole = block.seq - self._expected_seq
            first = entries_until(self.deleted, self._expected_seq + lost)
            if hole > lost and is_known and first < block.seq:
                words = (
                    f"entries {first} to {block.seq - 1} are in no segment: "
                    f"one is missing before epoch {block.epoch} offset {block.offset}"
                )
                self.missing.append(Told(last_ns, block.recv_ns, words))
            self._expected_seq = block.seq + block.count
            lost, is_known = 0, True
            last_ns = block.recv_ns
            self.epochs.add(block.epoch)
        self.last_block_ns = last_ns

    def finish(self, damage: list[Damage]) -> None:
        """The journal has been read to its end; what of it was damaged is final."""
        self._damaged += [(self.last_block_ns, None)] * (len(damage) - len(self._damaged))
        # A disk that refuses tears a block that is kept in memory, and stands whole further on.
        self.torn = [
            Told(*span, str(each))
            for span, each in zip(self._damaged, damage, strict=True)
            if not (each.torn and each.entries == 0)
        ]

    def see(self, block: Block) -> None:
        """Take in a block."""
        for kind, payload in block.entries():
            self.see_own(kind, payload, block.recv_ns)

    def see_own(self, kind: int, payload: bytes, recv_ns: int) -> None:
        """Take in an entry that the journal's writer put there itself."""
        if kind == EntryKind.DROPPED:
            frames = _dropped.decode(payload).frames
            self.dropped.append(Told(recv_ns, recv_ns, "", frames))
        elif kind == EntryKind.NOTE:
            suspect = _note.decode(payload).suspect
            if suspect:
                words = (
                    f"epoch {suspect['epoch']} offsets {suspect['from_offset']} to "
                    f"{suspect['to_offset']}: a sync failed"
                )
                from_ns = self._time_of(Position(suspect["epoch"], suspect["from_offset"]))
                self.suspect.append(Told(min(from_ns, recv_ns), recv_ns, words))

    def follows(self, block: Block) -> bool:
        """Whether the block's number is the one behind the last block's."""
        return block.seq == self._expected_seq

    @property
    def deleted_until_ns(self) -> int:
        """Until when entries were received that retention took; 0 when it took none."""
        return max((each.last_ns for each in self.deleted), default=0)

    def _time_of(self, position: Position) -> int:
        """A moment at or before which this place was written; to one portion of blocks."""
        at = bisect_right(self._starts, position, key=lambda start: start[0])
        return self._starts[max(at - 1, 0)][1]


class DecisionReading(JournalReading):
    """What a strategy's journal says: how far it came in each run and feed, and why it stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: dict[tuple[str, str], Position] = {}
        self.failures = 0
        self.stopped: dict[str, Told] = {}
        self._run = ""

    def see(self, block: Block) -> None:
        """Take in a block."""
        logged = read_logged(block)
        if logged is None:
            super().see(block)
            return
        said = logged.input
        if isinstance(said, Start):
            self._run = said.run
            for feed, at in said.positions.items():
                self.reached[said.run, feed] = Position(*at)
        elif isinstance(said, Blocks):
            self.reached[self._run, said.feed] = Position(said.epoch, said.to_offset)
        for failed in logged.failures:
            self.failures += 1
            if failed.policy == "stop":
                at_ns = block.recv_ns
                self.stopped[self._run] = Told(at_ns, at_ns, failed.words)


class DayReading:
    """What a feed's journal says of one day of receive time."""

    def __init__(self) -> None:
        self.sessions = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.polls: dict[str, PollTotals] = {}
        self.polled_ns = 0
        self.runs: list[tuple[int, str]] = []

    def see_data(self, recv_ns: int) -> None:
        """Data of the venue came."""
        if self.first_ns is None:
            self.first_ns = recv_ns
        self.last_ns = recv_ns

    def see_polls(self, polls: Polls) -> None:
        """A polled venue was asked."""
        self.polled_ns = polls.to_ns
        for counts in polls.books:
            self.polls.setdefault(counts.symbol, PollTotals(counts.symbol)).add(counts)


class FeedReading(JournalReading):
    """What a feed's journal says.

    Args:
        feed: its name.
        strategies: name -> what its journal says; `undecided` counts by day what each was not
            given.
    """

    def __init__(self, feed: str, strategies: Mapping[str, DecisionReading]) -> None:
        super().__init__()
        self.whole = DayReading()
        self.days: dict[int, DayReading] = {}
        self.standings: list[Standing] = []
        self.control = 0
        self.undecided: dict[str, Counter[int]] = {name: Counter() for name in strategies}
        self._feed = feed
        self._strategies = strategies
        self._run = ""
        self._is_down = True

    def day(self, day: int | None) -> DayReading:
        """What is said of one day, by days since 1970; None is all of it."""
        return self.whole if day is None else self.days.get(day, DayReading())

    def see(self, block: Block) -> None:
        """Take in what a block says beside its rows."""
        recv_ns = block.recv_ns
        number = recv_ns // DAY_NS
        day = self.days.get(number)
        if day is None:
            day = self.days[number] = DayReading()
        has_data = False
        for kind, payload in block.entries():
            if kind <= EntryKind.BINARY:
                has_data, self._is_down = True, False
            elif kind in _STANDING:
                self._see_session(payload, recv_ns, day)
            elif kind == EntryKind.POLLS:
                polls = _polls.decode(payload)
                self.whole.see_polls(polls)
                day.see_polls(polls)
            else:
                self.see_own(kind, payload, recv_ns)
        if has_data:
            self.whole.see_data(recv_ns)
            day.see_data(recv_ns)
        self._see_undecided(block)

    def finish(self, damage: list[Damage]) -> None:
        """The journal has been read to its end: until there the subscription stood."""
        super().finish(damage)
        self._stand_until(self.last_block_ns)

    def _see_session(self, payload: bytes, recv_ns: int, day: DayReading) -> None:
        said = _session.decode(payload)
        self._is_down = said.down_since_ns > 0
        if self._is_down:
            self._stand_until(said.down_since_ns)
        if said.event == "connecting":
            self.whole.sessions += 1
            day.sessions += 1
        elif said.event == "started":
            self._run = said.run
            self.whole.runs.append((recv_ns, said.run))
            day.runs.append((recv_ns, said.run))
        elif said.event == "subscribed":
            self._stand_until(recv_ns)
            known, missing = _in_our_words(said.channels), _in_our_words(said.missing)
            self.standings.append(Standing(recv_ns, None, known, missing))

    def _stand_until(self, ns: int) -> None:
        if self.standings and self.standings[-1].to_ns is None:
            last = self.standings[-1]
            self.standings[-1] = last._replace(to_ns=max(ns, last.from_ns))

    def _see_undecided(self, block: Block) -> None:
        for name, strategy in self._strategies.items():
            reached = strategy.reached.get((self._run, self._feed))
            if (
                reached is not None
                and block.position >= reached
                and self._run not in strategy.stopped
            ):
                self.undecided[name][block.recv_ns // DAY_NS] += block.count

    def unstopped(self) -> GapInterval | None:
        """The gap that begins where the journal ends, when nobody stopped it; None when one did."""
        if self._is_down:
            return None
        return GapInterval(self._feed, "", self.last_block_ns, None, KILLED, False, "open")


def _in_our_words(channels: Mapping[str, list[str]] | None) -> dict[str, tuple[str, ...]]:
    said = channels or {}
    return {OUR_WORDS.get(name, name): tuple(symbols) for name, symbols in said.items() if symbols}
