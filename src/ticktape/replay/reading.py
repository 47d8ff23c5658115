"""What `check` gathers while it reads one journal from its first byte to its last.

Only what stands in the segments counts here: no counter, no mapped file.
"""

from collections.abc import Mapping

import msgspec

from ticktape.decisions.log import Blocks, Start, read_logged
from ticktape.journal.blocks import Block
from ticktape.journal.damage import Damage
from ticktape.ledger import GapInterval
from ticktape.polls import Polls, PollTotals
from ticktape.records import EntryKind, Gap, Position

KILLED = "recording ended without a stop: the recorder was killed"


class _Dropped(msgspec.Struct):
    frames: int = 0


class _Note(msgspec.Struct):
    suspect: dict[str, int] | None = None


class _Session(msgspec.Struct):
    event: str = ""
    run: str = ""
    down_since_ns: int = 0


_dropped = msgspec.json.Decoder(_Dropped)
_note = msgspec.json.Decoder(_Note)
_session = msgspec.json.Decoder(_Session)
_polls = msgspec.json.Decoder(Polls)

# Kinds of entry that say whether the feed is down.
_STANDING = (EntryKind.SESSION, EntryKind.CLOCK)


class JournalReading:
    """What every journal says beside its rows: what was dropped, what is suspect, what lacks."""

    def __init__(self) -> None:
        self.dropped_frames = 0
        self.suspect: list[str] = []
        self.missing: list[str] = []
        self.epochs: set[int] = set()
        self._expected_seq = 0
        self._damage_count = 0

    def follow(self, blocks: list[Block], damage: list[Damage]) -> None:
        """See whether the numbers go on without a hole that no damage explains.

        Args:
            blocks: the next blocks, without damage between them.
            damage: all that the reader has met so far.
        """
        new = damage[self._damage_count :]
        self._damage_count = len(damage)
        lost = sum(each.entries or 0 for each in new)
        is_known = all(each.entries is not None for each in new)
        for block in blocks:
            hole = block.seq - self._expected_seq
            if hole > lost and is_known:
                self.missing.append(
                    f"entries {self._expected_seq + lost} to {block.seq - 1} are in no segment: "
                    f"one is missing before epoch {block.epoch} offset {block.offset}"
                )
            self._expected_seq = block.seq + block.count
            lost, is_known = 0, True
            self.epochs.add(block.epoch)

    def see_own(self, kind: int, payload: bytes) -> None:
        """Take in an entry that the journal's writer put there itself."""
        if kind == EntryKind.DROPPED:
            self.dropped_frames += _dropped.decode(payload).frames
        elif kind == EntryKind.NOTE:
            suspect = _note.decode(payload).suspect
            if suspect:
                self.suspect.append(
                    f"epoch {suspect['epoch']} offsets {suspect['from_offset']} to "
                    f"{suspect['to_offset']}: a sync failed"
                )


class DecisionReading(JournalReading):
    """What a strategy's journal says: how far it came in each run and feed, and why it stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: dict[tuple[str, str], Position] = {}
        self.failures = 0
        self.stopped: dict[str, str] = {}
        self._run = ""

    def see(self, block: Block) -> None:
        """Take in a block."""
        logged = read_logged(block)
        if logged is None:
            for kind, payload in block.entries():
                self.see_own(kind, payload)
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
                self.stopped[self._run] = failed.words


class FeedReading(JournalReading):
    """What a feed's journal says.

    Args:
        feed: its name.
        strategies: name -> what its journal says; `undecided` counts what each was not given.
    """

    def __init__(self, feed: str, strategies: Mapping[str, DecisionReading]) -> None:
        super().__init__()
        self.sessions = 0
        self.gaps: list[Gap] = []
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.polls: dict[str, PollTotals] = {}
        self.polled_ns = 0
        self.undecided = dict.fromkeys(strategies, 0)
        self._feed = feed
        self._strategies = strategies
        self._run = ""
        self._last_block_ns = 0
        self._is_down = True

    def see(self, block: Block) -> None:
        """Take in what a block says beside its rows."""
        for kind, payload in block.entries():
            if kind <= EntryKind.BINARY:
                self._is_down = False
                if self.first_ns is None:
                    self.first_ns = block.recv_ns
                self.last_ns = block.recv_ns
            elif kind in _STANDING:
                self._see_session(payload)
            elif kind == EntryKind.POLLS:
                self._see_polls(_polls.decode(payload))
            else:
                self.see_own(kind, payload)
        self._last_block_ns = block.recv_ns
        self._see_undecided(block)

    def _see_polls(self, polls: Polls) -> None:
        self.polled_ns = polls.to_ns
        for counts in polls.books:
            self.polls.setdefault(counts.symbol, PollTotals(counts.symbol)).add(counts)

    def _see_session(self, payload: bytes) -> None:
        said = _session.decode(payload)
        self._is_down = said.down_since_ns > 0
        if said.event == "connecting":
            self.sessions += 1
        elif said.event == "started":
            self._run = said.run

    def _see_undecided(self, block: Block) -> None:
        for name, strategy in self._strategies.items():
            reached = strategy.reached.get((self._run, self._feed))
            if (
                reached is not None
                and block.position >= reached
                and self._run not in strategy.stopped
            ):
                self.undecided[name] += block.count

    def unstopped(self) -> GapInterval | None:
        """The gap that begins where the journal ends, when nobody stopped it; None when one did."""
        if self._is_down:
            return None
        return GapInterval(self._feed, "", self._last_block_ns, None, KILLED, False, "open")
