"""A journal to break: its disk and its clock are fakes, and every test reads it back at its end."""

import itertools
import os
import shutil
from pathlib import Path

import pytest

from ticktape.journal.disk import Disk
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.records import EntryKind

NEVER_MS = 3_600_000  # a group commit that only `sync` and `close` bring about
SECOND_NS = 1_000_000_000
OWN_KINDS = {EntryKind.DROPPED, EntryKind.NOTE}  # what the writer says by itself


class FakeClock:
    """Time that only a test moves."""

    def __init__(self):
        self.now_ns = SECOND_NS

    def monotonic_ns(self):
        return self.now_ns

    def wall_at(self, mono_ns):
        return 1_381_262_340 * SECOND_NS + mono_ns

    def wall_ns(self):
        return self.wall_at(self.now_ns)

    def advance(self, seconds=1.0):
        self.now_ns += int(seconds * SECOND_NS)


class FakeDisk(Disk):
    """The real disk, counted, and broken where a test says so; it knows what a power cut leaves.

    `faults[call]` is asked with the number of the call, from 1, and what it is about; it returns
    None, an error to raise, or for a write how many bytes to take.
    """

    def __init__(self):
        self.counts = {}
        self.faults = {}
        self.log = []
        self.open_files = 0
        self._paths = {}
        self._synced_bytes = {}
        self._names = {}

    def _fault(self, call, *about):
        count = self.counts[call] = self.counts.get(call, 0) + 1
        fault = self.faults.get(call)
        found = fault(count, *about) if fault is not None else None
        if isinstance(found, OSError):
            raise found
        return found

    def create(self, path):
        self._fault("create", path)
        descriptor = super().create(path)
        self.open_files += 1
        inode = os.fstat(descriptor).st_ino
        self._paths[inode] = path
        self._synced_bytes[inode] = 0
        self.log.append(("create", path.name))
        return descriptor

    def write(self, descriptor, chunk):
        taken = self._fault("write", len(chunk))
        return os.write(descriptor, chunk if taken is None else chunk[:taken])

    def write_pieces(self, descriptor, pieces):
        return self.write(descriptor, b"".join(pieces))

    def duplicate(self, descriptor):
        self._fault("duplicate")
        self.open_files += 1
        return super().duplicate(descriptor)

    def sync(self, descriptor):
        status = os.fstat(descriptor)
        path = self._paths.get(status.st_ino)
        self.log.append(("sync", path.name if path else "?"))
        self._fault("sync", path)
        self._synced_bytes[status.st_ino] = status.st_size

    def sync_directory(self, path):
        self.log.append(("sync_directory", path.name))
        self._fault("sync_directory", path)
        self._names[path] = {each.name for each in path.iterdir()}

    def close(self, descriptor):
        self._fault("close")
        self.open_files -= 1
        super().close(descriptor)

    def remove(self, path):
        self._fault("remove", path)
        super().remove(path)

    def replace(self, path, content):
        # Its own calls are not what the tests count.
        super().replace(path, content)
        self.open_files += 1

    def copy_what_power_loss_leaves(self, source: Path, target: Path, surviving):
        """Copy a folder as a power cut may leave it.

        `surviving(synced, size)` says how many of a file's bytes survive; a name survives when its
        folder was synced since it is there.
        """
        target.mkdir(parents=True)
        for path in sorted(source.iterdir()):
            if path.name not in self._names.get(source, set()):
                continue
            if path.is_dir():
                self.copy_what_power_loss_leaves(path, target / path.name, surviving)
                continue
            status = path.stat()
            synced = self._synced_bytes.get(status.st_ino, 0)
            kept = path.read_bytes()[: surviving(synced, status.st_size)]
            (target / path.name).write_bytes(kept)


class Journal:
    """A journal under test, and the plain list of what is in it."""

    def __init__(self, root: Path):
        self.root = root
        self.directory = root / "journal"
        self.positions_path = root / "live" / "positions"
        self.clock = FakeClock()
        self.disk = FakeDisk()
        self.troubles = []
        self.synced = []
        self.expected = []
        self.lost = set()
        self.writer = None
        self._writers = []
        self._number = 0

    def open(self, sync="group", **config):
        config = WriterConfig(sync=sync, **{"commit_ms": NEVER_MS, **config})
        self.writer = Writer(
            self.directory,
            self.positions_path,
            config,
            disk=self.disk,
            on_trouble=self.troubles.append,
            on_synced=lambda *range_: self.synced.append(range_[:2]),
            wall=self.clock,
        )
        self._writers.append(self.writer)
        return self.writer

    def append(self, *payloads, **how):
        """Append a block through the present writer; a number makes up a payload of that size."""
        made = [self.payload(each) if isinstance(each, int) else each for each in payloads]
        self._number += 1
        stamps = (1000 + self._number, 2000 + self._number)
        seq = self.writer.append(made, *stamps, how.get("session", 1), **_kinds(how))
        if seq >= 0:
            kinds = how.get("kinds") or [how.get("kind", EntryKind.TEXT)] * len(made)
            self.expected += [
                (seq + index, kind, payload, *stamps, how.get("session", 1))
                for index, (kind, payload) in enumerate(zip(kinds, made, strict=True))
            ]
        return seq

    def payload(self, size):
        """Bytes unlike any others."""
        self._number += 1
        return (b"%d," % self._number * (size // 2 + 1))[:size]

    def kill(self):
        """End the present writer as `kill -9` would: nothing is written or synced any more."""
        kill(self.writer)

    def reader(self, *args, files=True, **how):
        return Reader(self.directory, None if files else self.positions_path, *args, **how)

    def read(self, *args, **how):
        """All blocks, and the reader (closed)."""
        with self.reader(*args, **how) as reader:
            return read_all(reader), reader

    def entries(self):
        """All entries that are in the files, as `expected` has them; and the writer's own."""
        found, own = [], []
        for entry in (entry for block in self.read()[0] for entry in block.entry_records()):
            told = (entry.seq, entry.kind, entry.payload, *entry[3:])
            (own if entry.kind in OWN_KINDS else found).append(told)
        return found, own

    def segments(self):
        return sorted(path for path in self.directory.iterdir() if path.suffix == ".seg")

    def check(self):
        """Nothing is lost but what the test says, nothing doubled, all in order and as it was."""
        for writer in self._writers:
            if not writer._closed:
                writer.close()
        blocks, _ = self.read()
        places = [(block.position, block.end) for block in blocks]
        assert places == sorted(places)
        for (_, end), (start, _) in itertools.pairwise(places):
            assert end <= start, "two blocks share a position"
        seqs = [block.seq + index for block in blocks for index in range(block.count)]
        assert seqs == sorted(set(seqs)), "a number was given twice"
        found, _ = self.entries()
        assert found == [entry for entry in self.expected if entry[0] not in self.lost]
        leftover = self.disk.open_files
        assert leftover == 0, f"{leftover} descriptors were not given back"


def _kinds(how):
    return {name: how[name] for name in ("kind", "kinds") if name in how}


def kill(writer):
    """Give back what a killed process gives back: its lock and its files, nothing else."""
    commit = writer._tail.commit
    commit._stop.set()
    commit.pending.set()
    if commit._thread is not None:
        commit._thread.join()
    commit.close()
    if writer._tail._descriptor >= 0:
        writer._disk.close(writer._tail._descriptor)
        writer._tail._descriptor = -1
    writer._tail._waker.close()
    writer._lock.release()
    writer._closed = True


def read_all(reader, max_bytes=1 << 20):
    """What a reader reads until there is nothing."""
    found = []
    while blocks := reader.read(max_bytes):
        found += blocks
    return found


@pytest.fixture
def journal(tmp_path):
    """A journal that is read back and checked after the test."""
    made = Journal(tmp_path)
    yield made
    made.check()
    shutil.rmtree(tmp_path, ignore_errors=True)
