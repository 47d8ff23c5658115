"""A journal with its table's reader on a `PowerDisk`, and the contract's lines proved on a tree.

What is proved of a tree that a power cut left (DESIGN §2): what was shown as synced is there, byte
for byte (line 1); what was promised at a sync is (line 3); a start needs nobody and alters nothing
(line 4); no position is used twice; a reader that keeps its place skips nothing.
"""

import contextlib
import itertools
import os
import shutil
from typing import NamedTuple

import msgspec
import power_states
from power_disk import NO_FAULT, PowerDisk, QuickDisk

from ticktape.errors import JournalError
from ticktape.journal.blocks import Block, parse_blocks, resync
from ticktape.journal.format import SEGMENT_HEADER_BYTES
from ticktape.journal.position_file import load_positions, save_positions
from ticktape.journal.positions import Positions
from ticktape.journal.reader import Reader
from ticktape.journal.segments import list_segments, read_opening
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.records import EntryKind, Position

NEVER_MS = 3_600_000  # a group commit that only `sync` and `close` bring about
SECOND_NS = 1_000_000_000
BEGIN = Position(0, 0)
FEED = "sip"


class StepClock:
    """Time that only a session moves."""

    def __init__(self):
        self.now_ns = SECOND_NS

    def monotonic_ns(self):
        return self.now_ns

    def wall_at(self, mono_ns):
        return 1_381_262_340 * SECOND_NS + mono_ns

    def advance(self, seconds):
        self.now_ns += int(seconds * SECOND_NS)


class Said(NamedTuple):
    """What others may rely on: epochs begun, before which position all is safe, a table's rows."""

    epochs: frozenset[int]
    claimed: Position
    place: Position
    rows: tuple[Block, ...]


class Session:
    """Steps of one recorder: a writer, restarted now and then, and a table that follows it.

    Args:
        root: a folder for all that the power may take.
        sync: as in WriterConfig.
        fault: what the disk refuses.
        before: what a session whose power was cut had said until then, if `root` holds what
            that left.
    """

    def __init__(self, root, sync="group", fault=NO_FAULT, before=None, **config):
        self.root = root
        self.sync_mode = sync
        self.config = WriterConfig(sync, NEVER_MS, **{"segment_bytes": 900, **config})
        self.journal = root / "feeds" / FEED / "journal"
        self.positions_path = root.with_name(root.name + ".positions")
        self.disk = PowerDisk(root, self._published)
        self.disk.fault = fault
        self.clock = StepClock()
        self.writer = None
        self.troubles = []
        self.accepted = []  # (seq, payload)
        self.dropped = [0, 0]  # frames and bytes that were turned away
        self.lost = 0  # what `close` told
        self.untold = 0  # turned away or lost, and no entry says so
        self.refused_starts = 0
        before = before or Said(frozenset(), BEGIN, BEGIN, ())
        self.epochs = [(0, epoch) for epoch in before.epochs]
        self.promised = [(0, before.claimed)]
        self.reached = []
        self.tables = [(0, before.place, before.rows)]
        self.saves = []
        self._number = 1000 * len(before.epochs)
        self._watched = None

    # Steps.

    def run(self, steps):
        """Do steps: a method's name, and what it takes."""
        for name, *arguments in steps:
            getattr(self, name)(*arguments)
        return self

    def open(self):
        """Start a writer; a refusal is loud, and the next `open` tries again."""
        try:
            self.writer = Writer(
                self.journal,
                self.positions_path,
                self.config,
                disk=self.disk,
                on_trouble=self.troubles.append,
                wall=self.clock,
            )
        except JournalError as error:
            self.troubles.append(error)
            self.refused_starts += 1
            return
        self.epochs.append((len(self.disk.calls), self.writer.epoch))
        self._note_reached()

    def append(self, *sizes):
        if self.writer is None:
            return
        payloads = [self._payload(size) for size in sizes]
        seq = self.writer.append(payloads, 1000 + self._number, 2000 + self._number, 1)
        if seq < 0:
            self.dropped[0] += len(sizes)
            self.dropped[1] += sum(map(len, payloads))
        else:
            self.accepted += [(seq + index, payload) for index, payload in enumerate(payloads)]
        if self.sync_mode == "each":
            self._promise()
        self._note_reached()

    def _payload(self, size):
        self._number += 1
        return (b"%d," % self._number * (size // 2 + 1))[:size]

    def sync(self):
        if self.writer is not None:
            self.writer.sync()
            self._promise()

    def _promise(self):
        """All that was written is safe now, unless the disk has refused something."""
        if self.sync_mode != "os" and not self.troubles:
            self.promised.append((len(self.disk.calls), self._place()))

    def _place(self):
        return Position(self.writer.epoch, self.writer.offset)

    def _note_reached(self):
        self.reached.append((len(self.disk.calls), self._place()))

    def tick(self, seconds=0.2):
        self.clock.advance(seconds)
        if self.writer is not None:
            self.writer.tick()

    def heal(self):
        """The disk takes everything again; wait until the writer has noticed."""
        self.disk.healing = True
        for _ in range(3):
            self.tick(60)
            self.sync()

    def table(self):
        """Read what is synced, and have its rows on the disk at once."""
        _, start, rows = self.tables[-1]
        with Reader(self.journal, self.positions_path, start, synced=True) as reader:
            blocks = list(itertools.chain.from_iterable(iter(reader.read, [])))
            rows = (*rows, *blocks)
            self.tables.append((len(self.disk.calls), reader.position, rows))

    def save(self):
        """Save the table's position."""
        position = self.tables[-1][1]
        path = self.root / "readers" / "table.pos"
        try:
            save_positions(path, {FEED: position}, disk=self.disk)
        except OSError as error:
            self.troubles.append(error)
        else:
            self.saves.append((len(self.disk.calls), position))

    def close(self):
        if self.writer is not None:
            with contextlib.suppress(OSError):  # of a descriptor; what it means was told
                self.lost += self.writer.close()
            self.untold += self.writer.untold_frames
            self.writer = None

    def kill(self):
        """Give back what a killed process gives back, nothing else."""
        writer, self.writer = self.writer, None
        if writer is None:
            return
        # What waited in memory dies with it: line 2.
        written_seq = writer.positions.statistics().written_seq
        self.accepted = [each for each in self.accepted if each[0] < written_seq]
        commit = writer._tail.commit
        commit.close()
        if writer._tail._descriptor >= 0:
            os.close(writer._tail._descriptor)
        writer._tail._waker.close()
        writer._lock.release()
        writer._closed = True

    def end(self):
        """Leave as a kill does, and give everything back."""
        self.kill()
        self.disk.seen.append((len(self.disk.calls), self._published()))
        if self._watched is not None:
            self._watched.close()
        return self

    # What it knows.

    def _published(self):
        """Where a reader of what is synced may read to, as the writer shows it now."""
        if self._watched is None:
            self._watched = Positions.for_reader(self.positions_path)
        if self._watched is None:
            return BEGIN
        epoch, offset, _ = self._watched.limit(synced=True)
        return Position(epoch, 0 if self.sync_mode == "os" else offset)

    def claimed(self, calls):
        """Before which position everything was said to be safe after so many calls."""
        return max((each for at, each in [*self.disk.seen, *self.promised] if at <= calls))

    def said(self, calls):
        """What was said until so many calls."""
        _, place, rows = [each for each in self.tables if each[0] <= calls][-1]
        epochs = frozenset(epoch for at, epoch in self.epochs if at <= calls)
        return Said(epochs, self.claimed(calls), place, rows)

    def blocks(self):
        """Position -> block of everything whole in the files now."""
        return {block.position: block for block in whole_blocks(self.journal)}


def whole_blocks(journal):
    """All whole blocks that are in the files, found without the reader."""
    found = []
    for segment in list_segments(journal):
        content = segment.path.read_bytes()
        nonce, at = read_opening(segment).nonce or b"", SEGMENT_HEADER_BYTES
        while nonce and at < len(content):
            blocks, _ = parse_blocks(content[at:], segment.epoch, segment.base + at, nonce)
            found += blocks
            end = blocks[-1].end_offset - segment.base if blocks else at
            at = resync(content, end + 1, segment.base, nonce) or len(content)
    return found


def read(journal, start=BEGIN):
    """All blocks from a position on, and what was passed over."""
    with Reader(journal, None, start) as reader:
        return list(itertools.chain.from_iterable(iter(reader.read, []))), reader.damage


def notes(blocks, kind):
    """What the writer's own entries of a kind say."""
    entries = itertools.chain.from_iterable(block.entries() for block in blocks)
    return [msgspec.json.decode(payload) for each, payload in entries if each == kind]


class Survivor:
    """One tree that a power cut left of a session, started again and proved."""

    def __init__(self, session, moment, folder, known):
        self.session = session
        self.calls = moment.calls
        self.said = session.said(moment.calls)
        self.tree = moment.tree
        self.root = folder / "root"
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        power_states.put(moment.tree, self.root)
        self.journal = self.root / session.journal.relative_to(session.root)
        self.known = known
        self.segments = list_segments(self.journal)

    def prove(self):
        self._start()
        for path, content in self.tree.items():
            # What was just being made has no name yet.
            if path.suffix != ".new":
                assert (self.root / path).read_bytes() == content, f"line 4: {path} altered"
        self.blocks, self.damage = read(self.journal)
        old = [block for block in self.blocks if block.epoch < self.epoch]
        assert all(self.known.get(block.position) == block for block in old), "never written"
        self._prove_synced()
        numbers = [block.seq + each for block in self.blocks for each in range(block.count)]
        assert numbers == sorted(set(numbers)), "a number stands twice"
        self._prove_manifest()
        self._prove_table()
        self._prove_places()

    def _start(self):
        # One file for all trees, since a new one is synced: a writer begins it anew anyway.
        positions = self.root.with_name("new.positions")
        config = WriterConfig("os", NEVER_MS)
        with Writer(self.journal, positions, config, disk=QuickDisk()) as writer:
            self.epoch = writer.epoch
            assert self.epoch > max(self.said.epochs, default=-1)
            assert writer.append([b"after"], 1, 2) >= 0
            assert writer.append([b"the", b"cut"], 1, 2) >= 0

    def _prove_synced(self):
        claimed = self.said.claimed
        found = {block.position for block in self.blocks}
        suspect = [each["suspect"] for each in notes(self.blocks, EntryKind.NOTE)]
        missing = [
            position
            for position in self.known
            if position < claimed
            and position not in found
            and not any(
                each["epoch"] == position.epoch
                and each["from_offset"] <= position.offset < each["to_offset"]
                for each in suspect
            )
        ]
        assert not missing, f"lines 1 and 3: {missing} of all before {claimed} is lost"

    def _prove_manifest(self):
        if not self.segments:
            return
        last = self.segments[-1]
        size = len(self.tree[last.path.relative_to(self.root)])
        said = msgspec.json.decode(last.path.with_suffix(".manifest.json").read_bytes())
        assert said["segment"] == last.path.name
        ends = [
            block.end_offset
            for block in self.blocks
            if block.epoch == last.epoch and block.offset >= last.base
        ]
        if ends:
            assert said["end_offset"] == ends[-1]
            assert said["torn_bytes"] == last.base + size - ends[-1]
        else:
            assert said["torn_bytes"] in (size, size - 128)
        passed = sum(
            each.bytes
            for each in self.damage
            if each.epoch == last.epoch and each.offset >= last.base
        )
        assert passed >= said["torn_bytes"], "a torn end that no reader reports"

    def _prove_table(self):
        saved = [each for at, each in self.session.saves if at <= self.calls]
        loaded = load_positions(self.root / "readers" / "table.pos")[0].get(FEED, BEGIN)
        assert loaded >= max(saved, default=BEGIN), "a saved position is lost"
        assert loaded <= self.said.place, "a position is ahead of what was made of it"
        kept = set(self.said.rows)
        for block in self.blocks:
            assert block in kept or block.position >= self.said.place, (
                f"{block.position} is skipped"
            )

    def _prove_places(self):
        """Who comes back to a place, also to one that the cut took, reads all behind it."""
        reached = [each for at, each in self.session.reached if at <= self.calls]
        for start in {*reached[-2:], self.said.place}:
            expected = [block for block in self.blocks if block.position >= start]
            assert read(self.journal, start)[0] == expected
