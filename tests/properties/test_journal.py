"""For all inputs: what a journal gave a number to and wrote is read back, once and in order."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ticktape.journal.blocks import parse_blocks, resync
from ticktape.journal.disk import Disk
from ticktape.journal.format import pack_block, pack_body
from ticktape.journal.reader import Reader
from ticktape.journal.segments import list_segments
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.records import Position

NONCE = b"8 bytes."
U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
# Payloads that are like what they are packed with: the nonce, and zeros as of an unwritten page.
PAYLOADS = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"", NONCE, NONCE * 9, bytes(64), b"TICKTAPE"]),
        st.builds(bytes, st.integers(0, 3000)),
    ),
    min_size=1,
    max_size=6,
)


@given(
    blocks=st.lists(st.tuples(PAYLOADS, U64, U64, U32, st.integers(0, 15)), max_size=6),
    start=st.integers(0, 2**62),
    seq=st.integers(0, 2**62),
)
def test_blocks_are_read_as_they_were_packed(blocks, start, seq):
    chunk, expected = b"", []
    for payloads, recv_ns, mono_ns, session, kind in blocks:
        body = pack_body(payloads, kind, None)
        offset = start + len(chunk)
        chunk += pack_block(NONCE, offset, seq, recv_ns, mono_ns, len(payloads), session, body)
        expected += [
            (seq + index, kind, payload, recv_ns, mono_ns, session)
            for index, payload in enumerate(payloads)
        ]
        seq += len(payloads)
    found, bad = parse_blocks(chunk, 0, start, NONCE)
    assert bad is None
    assert [entry for block in found for entry in block.entry_records()] == expected
    assert [block.end_offset for block in found[:-1]] == [block.offset for block in found[1:]]


@given(garbage=st.binary(max_size=300), chunk_offset=st.integers(0, 2**60), data=st.data())
def test_no_bytes_pass_for_a_block_by_chance(garbage, chunk_offset, data):
    """Whatever stands there, with the nonce in any place of it."""
    at = data.draw(st.integers(0, len(garbage)))
    chunk = garbage[:at] + NONCE + garbage[at:]
    assert resync(chunk, 0, chunk_offset, NONCE) is None
    assert parse_blocks(chunk, 0, chunk_offset, NONCE)[0] == []


class BreakableDisk(Disk):
    """A disk that refuses some writes and forgets none."""

    def __init__(self):
        self.refusals = []

    def write(self, descriptor, chunk):
        part = self.refusals.pop() if self.refusals else None
        if part is None:
            return os.write(descriptor, chunk)
        if part:
            os.write(descriptor, chunk[: int(part * len(chunk))])
        if part > 0.5:
            return int(part * len(chunk))
        raise OSError(errno.ENOSPC, "no room")

    def write_pieces(self, descriptor, pieces):
        return self.write(descriptor, b"".join(pieces))

    def sync(self, descriptor):
        pass

    def sync_directory(self, path):
        pass


class FakeClock:
    """Time that only a test moves."""

    now_ns = 1

    def monotonic_ns(self):
        return self.now_ns

    def wall_at(self, mono_ns):
        return mono_ns


class JournalMachine(RuleBasedStateMachine):
    """A journal against a plain list: appends, refusals, kills, restarts, torn ends, readers.

    `model` is what has to be in the files, `held` what is only accepted. Readers keep a position,
    as on the disk, and what they were given; some live, some come back from their position.
    """

    @initialize(sync=st.sampled_from(["group", "each", "os"]), segment_bytes=st.integers(129, 900))
    def begin(self, sync, segment_bytes):
        self.root = Path(tempfile.mkdtemp())
        self.config = WriterConfig(sync, 3_600_000, segment_bytes, 1 << 20)
        self.disk = BreakableDisk()
        self.clock = FakeClock()
        self.model = []
        self.held = []
        self.killed_entries = 0
        self.used_epochs = set()
        self.positions = {}
        self.given = {}
        self.live = {}
        self.count = 0
        self.writer = None
        self.start()

    def start(self):
        self.writer = Writer(
            self.root / "journal",
            self.root / "positions",
            self.config,
            disk=self.disk,
            wall=self.clock,
        )
        assert self.writer.epoch not in self.used_epochs
        self.used_epochs.add(self.writer.epoch)

    def own(self, count):
        """Payloads unlike any before."""
        self.count += count
        return [b"%d" % (self.count - index) * 9 for index in range(count)]

    def settle(self):
        written = self.writer.positions.statistics().written_seq
        self.model += [entry for entry in self.held if entry[0] < written]
        self.held = [entry for entry in self.held if entry[0] >= written]

    @rule(count=st.integers(1, 4), kind=st.sampled_from([0, 1, 2, 7]))
    def append(self, count, kind):
        payloads = self.own(count)
        seq = self.writer.append(payloads, 1, 2, 3, kind)
        self.held += [(seq + index, kind, payload) for index, payload in enumerate(payloads)]
        assert self.writer.next_seq == seq + count
        self.settle()

    @rule(parts=st.lists(st.sampled_from([None, 0.0, 0.2, 0.7, 0.99]), max_size=4))
    def refuse(self, parts):
        self.disk.refusals = parts

    @rule()
    def wait_and_tick(self):
        self.clock.now_ns += 10**9
        self.writer.tick()
        self.settle()

    @rule()
    def sync(self):
        self.writer.sync()

    @rule()
    def restart_cleanly(self):
        self.disk.refusals = []
        assert self.writer.close() == 0
        self.settle_all()
        self.start()

    def settle_all(self):
        self.model += self.held
        self.held = []

    @rule(torn=st.sampled_from(["nothing", "header", "body", "zeros"]), cut=st.floats(0.05, 0.95))
    def kill_and_restart(self, torn, cut):
        """As `kill -9`: what is held is lost, and half a block may lie at the end."""
        self.disk.refusals = []
        tail, seq = self.writer._tail, self.writer.next_seq
        kill(self.writer)
        block = pack_block(
            tail.nonce, tail.offset, seq, 1, 2, 2, 3, pack_body([b"torn"] * 2, 0, None)
        )
        rests = {
            "nothing": b"",
            "header": block[: int(cut * 64)],
            "body": block[: 64 + int(cut * (len(block) - 64))],
            "zeros": bytes(int(cut * len(block))),
        }
        # A writer whose disk refuses has no segment in hand, and so leaves no half of a block.
        if not self.writer._holding:
            with open(list_segments(self.root / "journal")[-1].path, "ab") as target:
                target.write(rests[torn])
        self.killed_entries += len(self.held) + 2
        self.held = []
        self.start()
        told = 2 if torn == "body" and not self.writer._holding else 0
        last = self.model[-1][0] + 1 if self.model else 0
        # A torn block's numbers are spent when its header is whole, and only then.
        assert self.writer.next_seq >= last
        assert self.writer.next_seq <= max(seq, last) + told

    @rule(
        name=st.sampled_from("abc"), gate=st.booleans(), size=st.sampled_from([100, 1000, 1 << 20])
    )
    def read_from_saved_position(self, name, gate, size):
        key = (name, gate)
        start = self.positions.get(key, Position(0, 0))
        with Reader(self.root / "journal", self.root / "positions", start, synced=gate) as reader:
            for block in reader.read(size):
                self.take(key, block)
            self.positions[key] = reader.position

    @rule(gate=st.booleans())
    def read_live(self, gate):
        key = ("live", gate)
        if key not in self.live:
            self.live[key] = Reader(self.root / "journal", self.root / "positions", synced=gate)
        while blocks := self.live[key].read():
            for block in blocks:
                self.take(key, block)
        if not gate:
            assert self.given.get(key, []) == self.model, "a live reader has all that is written"

    def take(self, key, block):
        self.given.setdefault(key, []).extend(entry[:3] for entry in block.entry_records())

    @invariant()
    def readers_were_given_a_beginning_of_the_list(self):
        for so_far in self.given.values():
            assert so_far == self.model[: len(so_far)]

    @precondition(lambda self: self.writer is not None)
    @invariant()
    def all_that_is_written_is_in_the_files(self):
        with Reader(self.root / "journal", None) as reader:
            found = []
            while blocks := reader.read():
                found += [entry[:3] for block in blocks for entry in block.entry_records()]
        assert found == self.model
        # What a refusing disk tore stands in the next segment, or is held still: only a kill loses.
        lost = sum(damage.entries or 0 for damage in reader.damage)
        assert lost <= self.killed_entries + len(self.held)

    def teardown(self):
        if getattr(self, "writer", None) is None:
            return
        self.disk.refusals = []
        for reader in self.live.values():
            reader.close()
        self.writer.close()
        shutil.rmtree(self.root)


def kill(writer):
    """Give back what a killed process gives back: its lock and its files, nothing else."""
    writer._commit.close()
    if writer._tail.is_open:
        os.close(writer._tail._descriptor)
    writer._tail._waker.close()
    writer._lock.release()


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(
    max_examples=60, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
