"""A reader that counts as the ledger does, restarted from its own entries alone (line 8)."""

import json
from collections import Counter
from itertools import groupby

import msgspec
from simulation_disk import Violation
from simulation_readers import BEGIN, FEED, DurableReader, place_of
from simulation_venue import messages_in

from ticktape.decoders import decoder_for
from ticktape.ledger.counting import MINUTE_NS, Brought, FeedCounter
from ticktape.ledger.entries import Counts
from ticktape.ledger.feedwatch import own_entries
from ticktape.ledger.identity import StageIdentity, SumsKept
from ticktape.ledger.memory import Memory
from ticktape.records import EntryKind, Position


class CountingReader(DurableReader):
    """What it makes are entries of minutes, and of parts of minutes when it leaves early."""

    def _start(self):
        memory, made = Memory(), self.made()
        for part in made:
            memory.take(msgspec.convert(part["entry"], Counts))
        self._count = len(made)
        self._pending = []
        start = memory.positions.get(FEED, BEGIN)
        self._begin(start, memory.totals.get(FEED, {}))
        return start

    def _begin(self, start, totals):
        self._decoder = decoder_for("alpaca", FEED)
        self._counter = FeedCounter(FEED, start, totals)
        self._sums = SumsKept(start, totals)

    def keep(self, blocks):
        for entry in self._take(blocks):
            self._write(entry)
        if self.rng.random() < 0.3:
            self._finish()
        if self.rng.random() < self._clumsiness:
            self.die()  # what it has not written is counted again

    def _take(self, blocks):
        """Count blocks; as the program does, in parts that lie in one epoch."""
        self._pending += blocks
        found = []
        for _, each in groupby(blocks, key=lambda block: block.epoch):
            part = list(each)
            brought = Brought(part, self._decoder.tables(part))
            self._sums.add(brought, self._counter.totals)
            dropped = Counter()
            for entry in own_entries(part):
                dropped[entry.index] += entry.dropped
            found += self._counter.add(brought, dropped)
        return found

    def _finish(self):
        for entry in self._counter.finish():
            self._write(entry)

    def _write(self, entry):
        until = Position(*entry.until)
        done = [block for block in self._pending if block.position < until]
        self._pending = self._pending[len(done) :]
        made = {
            "end": list(until),
            "entry": msgspec.to_builtins(entry),
            "blocks": [[*place_of(each), each.seq, each.body.hex()] for each in done],
        }
        path = self.folder / f"{self._count:08d}.made"
        self.world.disk.replace(path, json.dumps(made).encode())
        self._count += 1

    def _make(self, blocks, end):
        for entry in self._take(blocks):
            self._write(entry)

    def catch_up(self):
        super().catch_up()
        self._finish()

    # What must hold of it.

    def prove(self, table):
        """All entries together are what its blocks hold, and the table's reader agrees.

        Raises:
            Violation: a row is counted twice, not at all, or in another minute.
        """
        parts = self.made()
        blocks = [block for part in parts for block in self._blocks_of(part)]
        counted, dropped = Counter(), 0
        for entry in (msgspec.convert(part["entry"], Counts) for part in parts):
            dropped += entry.dropped
            for kind, symbols in entry.kinds.items():
                for symbol, number in symbols.items():
                    counted[entry.minute_ns, kind, symbol] += number
        if (counted, dropped) != _count(blocks):
            raise Violation(
                f"line 8: the ledger counts {counted}, its blocks hold {_count(blocks)}"
            )
        self._compare(blocks, table.made())

    def _compare(self, blocks, parts):
        """Hold what the table's reader was given to the ledger's sums, as the program does."""
        self._begin(BEGIN, {})
        self._take(blocks)
        identity = StageIdentity(FEED, "table", self._sums)
        places, seen = {block.position for block in blocks}, set()
        received = Counter()
        for made in map(self._blocks_of, parts):
            seen.update(block.position for block in made)
            if seen != {place for place in places if place < made[-1].end}:
                return  # one of the two had made something of what a power cut took then
            for (_, kind, _), number in _count(made)[0].items():
                received[kind] += number
            identity.hear(made[-1].end, received)
            told = identity.judge(self._counter.position)
            if told is not None or identity.unknown:
                raise Violation(f"line 8: table and ledger differ at {made[-1].end}: {told}")

    def _blocks_of(self, part):
        return [self.world.book.block(Position(*row[:2])) for row in part["blocks"]]


def _count(blocks):
    """Rows by minute, kind and symbol, counted one by one, and frames told as dropped."""
    found, messages, dropped = Counter(), 0, 0
    for kind, rows in decoder_for("alpaca", FEED).tables(blocks).items():
        columns = (rows.column(name).to_pylist() for name in ("recv_ns", "symbol"))
        for recv_ns, symbol in zip(*columns, strict=True):
            found[recv_ns // MINUTE_NS * MINUTE_NS, kind, symbol] += 1
    for kind, payload in (entry for block in blocks for entry in block.entries()):
        if kind <= EntryKind.BINARY:
            messages += len(messages_in(payload))
        elif kind == EntryKind.DROPPED:
            dropped += json.loads(payload)["frames"]
    trades = sum(number for (_, kind, _), number in found.items() if kind == "trades")
    if trades != messages:
        raise Violation(f"line 8: of {messages} messages there are {trades} rows")
    return found, dropped
