"""One feed as the ledger's process has it: counted, watched, compared, its damage told of."""

from collections.abc import Iterator, Sequence

from ticktape import clock
from ticktape.decoders import decoder_for
from ticktape.journal.blocks import Block
from ticktape.journal.format import SEGMENT_HEADER_BYTES
from ticktape.ledger.alarms import Alarm
from ticktape.ledger.counting import Brought, End, FeedCounter, find_holes
from ticktape.ledger.entries import Damaged, LedgerEntry, place_of
from ticktape.ledger.feedwatch import FeedWatch, SessionState, own_entries
from ticktape.ledger.identity import StageIdentity, SumsKept
from ticktape.ledger.memory import BEGINNING, Memory
from ticktape.ledger.suspects import Suspects
from ticktape.ledger.watchdog import Watchdog
from ticktape.recorder.task import WatchedFeed


class LedgerFeed:
    """All that the ledger knows of one feed."""

    def __init__(
        self, feed: WatchedFeed, memory: Memory, watchdog: Watchdog, suspects: Suspects
    ) -> None:
        name = feed.name
        start, totals = memory.positions.get(name, BEGINNING), memory.totals.get(name, {})
        sums = SumsKept(start, totals)
        self.name = name
        self._suspects = suspects
        self.decoder = decoder_for(feed.kind, name, is_brief=True)
        end = memory.ends.get(name) or (End(0, 0) if start == BEGINNING else None)
        self.counter = FeedCounter(name, start, totals, end)
        self.sums = sums
        self.stored = StageIdentity(name, "stored", sums)
        self.watch = FeedWatch(name, watchdog, memory.sessions.get(name, SessionState()))
        # Its own: a step of the clock is in each journal where that feed's stamps took it.
        self.wall = clock.WallClock()
        self.last_ns = memory.last_ns.get(name, 0)
        self.damaged = memory.damaged.get(name)

    def take(self, blocks: Sequence[Block]) -> tuple[list[LedgerEntry], list[Alarm]]:
        """Count and watch blocks of one epoch."""
        brought = Brought(blocks, self.decoder.tables(blocks))
        own = own_entries(blocks)
        steps = self.watch.steps
        self.sums.add(brought, self.counter.totals)
        dropped: dict[int, int] = {}
        for entry in own:
            dropped[entry.index] = dropped.get(entry.index, 0) + entry.dropped
        found: list[LedgerEntry] = [*self._holes(brought)]
        found += self.counter.add(brought, dropped)
        alarms = self.watch.take(brought, own)
        self.last_ns = blocks[-1].recv_ns
        if self.watch.steps != steps:
            self.wall.reanchor()
        return found, alarms

    def _holes(self, brought: Brought) -> Iterator[Damaged]:
        """What is not in the journal any more, told once at each place."""
        # What a writer lost that died is in the gap that the next start writes down.
        begins = brought.blocks[0].offset == SEGMENT_HEADER_BYTES
        for hole in find_holes(brought, None if begins else self.counter.end):
            place = place_of(hole.until)
            if self.damaged is None or place > self.damaged:
                self.damaged = place
                yield self._suspects.damaged(self.name, hole)
