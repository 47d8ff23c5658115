"""The small mapped file through which a journal's writer and its readers meet.

It is a cache: made anew when in doubt, never read by `check`. It is filled with real zeros when it
is made, because a hole in a mapped file on a full disk kills with SIGBUS, and every number is
stored through `memoryview.cast("Q")`, because `struct.pack_into` lets readers see zeros in between.

    4096 bytes as u64:
     0 magic · 1 version · 2-3 boot id · 4 epoch · 5 writer's pid · 6 state
     7 accepted_seq · 8 written · 9 written_seq · 10 synced · 11 synced_seq · 12 segment_base
    13 held_bytes · 14 dropped_frames · 15 dropped_bytes · 16 suspect_bytes · 17 sleepers
    18 slots_used · 19 doubt · 32… waiter slots of 4: pid · asleep · UDP port · spare

`accepted_seq` is stored only while the disk refuses; `sleepers` is 1 when a slot may be asleep, so
that a writer whom nobody waits for looks at one word. `doubt` is 1 more than the offset from where
on a sync was refused, until a note of it is on the disk; a start believes it, never its absence.
"""

import contextlib
import mmap
import os
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from ticktape import failpoints
from ticktape.clock import boot_id
from ticktape.records import Position

FILE_BYTES = 4096
MAGIC = int.from_bytes(b"TTPOS001", "little")
VERSION = 2
SLOT_COUNT = 32
_EPOCH, _PID, _STATE, _ACCEPTED_SEQ = 4, 5, 6, 7
_WRITTEN, _WRITTEN_SEQ, _SYNCED, _SYNCED_SEQ, _BASE = 8, 9, 10, 11, 12
_HELD, _DROPPED_FRAMES, _DROPPED_BYTES, _SUSPECT = 13, 14, 15, 16
_SLEEPERS, _SLOTS_USED, _DOUBT = 17, 18, 19
_SLOTS, _SLOT_WORDS = 32, 4


class JournalState(IntEnum):
    """How the writer stands with its disk."""

    CLOSED = 0
    OK = 1
    HOLDING = 2  # the disk refuses; entries wait in memory
    DROPPING = 3  # the memory's bound is reached; what comes is dropped and counted
    SUSPECT = 4  # a sync failed, and none has succeeded since


class PositionsStatistics(NamedTuple):
    """What the writer says of itself; counters of this epoch."""

    epoch: int
    pid: int
    state: JournalState
    accepted_seq: int
    written: int
    written_seq: int
    synced: int
    synced_seq: int
    held_bytes: int
    dropped_frames: int
    dropped_bytes: int
    suspect_bytes: int


class Positions:
    """The mapped positions of one journal, as its writer or one of its readers."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self.path = path
        self.closed = False
        self._mapped = mapped
        self._view = memoryview(mapped)
        self.words = self._view.cast("Q")

    @classmethod
    def for_writer(cls, path: Path, epoch: int) -> "Positions":
        """Map the file, made anew if it is missing, of another boot or of another version.

        Raises:
            OSError: the disk has no room for 4096 bytes, or the folder is read-only.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        positions = cls.for_reader(path)
        if positions is None:
            fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
            # Real zeros, on the disk before they are mapped: no room must show here, as an error.
            with open(fresh, "wb") as target:
                target.write(bytes(FILE_BYTES))
                target.flush()
                os.fsync(target.fileno())
            os.replace(fresh, path)
            positions = cls._map(path)
        words = positions.words
        boot = boot_id()
        for index in (_WRITTEN, _WRITTEN_SEQ, _SYNCED, _SYNCED_SEQ, _BASE, _HELD):
            words[index] = 0
        for index in (_DROPPED_FRAMES, _DROPPED_BYTES, _SUSPECT, _ACCEPTED_SEQ, _DOUBT):
            words[index] = 0
        words[0], words[1] = MAGIC, VERSION
        words[2] = int.from_bytes(boot[:8], "little")
        words[3] = int.from_bytes(boot[8:], "little")
        words[_PID] = os.getpid()
        words[_STATE] = JournalState.OK
        failpoints.pass_by("journal.positions")
        words[_EPOCH] = epoch
        return positions

    @classmethod
    def for_reader(cls, path: Path) -> "Positions | None":
        """Map the file; None when there is none yet, or none of this boot."""
        try:
            positions = cls._map(path)
        except (OSError, ValueError):
            return None
        boot = boot_id()
        words = positions.words
        if (
            words[0] != MAGIC
            or words[1] != VERSION
            or words[2] != int.from_bytes(boot[:8], "little")
            or words[3] != int.from_bytes(boot[8:], "little")
        ):
            positions.close()
            return None
        return positions

    @classmethod
    def _map(cls, path: Path) -> "Positions":
        with open(path, "r+b") as source:
            status = os.fstat(source.fileno())
            if status.st_size != FILE_BYTES:
                raise ValueError(f"{path} has {status.st_size} bytes")
            return cls(path, mmap.mmap(source.fileno(), FILE_BYTES))

    def close(self) -> None:
        """Unmap; may be called twice."""
        self.closed = True
        self.words.release()
        self._view.release()
        with contextlib.suppress(BufferError):
            self._mapped.close()

    # What the writer stores.

    def publish_written(self, written: int, next_seq: int) -> None:
        """Everything before `written` is with the system: it survives `kill -9`."""
        self.words[_WRITTEN_SEQ] = next_seq
        self.words[_WRITTEN] = written

    def publish_synced(self, synced: int, next_seq: int) -> None:
        """Everything before `synced` is on the disk: it survives power loss."""
        self.words[_SYNCED_SEQ] = next_seq
        self.words[_SYNCED] = synced

    def publish_segment(self, base: int) -> None:
        """The writer goes on in the segment that begins at `base`; earlier ones are final."""
        self.words[_BASE] = base

    def publish_trouble(
        self,
        state: JournalState,
        accepted_seq: int,
        held_bytes: int,
        dropped_frames: int,
        dropped_bytes: int,
    ) -> None:
        """How the writer stands, and what it holds and has dropped."""
        self.words[_ACCEPTED_SEQ] = accepted_seq
        self.words[_HELD] = held_bytes
        self.words[_DROPPED_FRAMES] = dropped_frames
        self.words[_DROPPED_BYTES] = dropped_bytes
        self.words[_STATE] = state

    def add_suspect(self, count_bytes: int) -> None:
        """So many bytes lay between synced and written when a sync failed."""
        self.words[_SUSPECT] += count_bytes

    def publish_doubt(self, offset: int) -> None:
        """A sync was refused: all from `offset` on may be lost, whatever a later one says."""
        before = self.words[_DOUBT]
        self.words[_DOUBT] = offset + 1 if not before else min(before, offset + 1)

    def clear_doubt(self) -> None:
        """What a refused sync left open is written down, and that is on the disk."""
        self.words[_DOUBT] = 0

    # What the next start asks.

    def doubt(self) -> Position | None:
        """From where on the epoch's bytes may be lost and no note says so; None: nothing is known.

        Who comes later and syncs again may be told yes: the system has dropped the bytes by then.
        """
        after = self.words[_DOUBT]
        return Position(self.words[_EPOCH], after - 1) if after else None

    # What a reader asks.

    def limit(self, *, synced: bool) -> tuple[int, int, int]:
        """(epoch, offset up to which may be read, base of the newest segment), consistent."""
        words = self.words
        index = _SYNCED if synced else _WRITTEN
        while True:
            epoch = words[_EPOCH]
            # In this order: an offset comes with the base of its own segment or of a later one.
            offset = words[index]
            base = words[_BASE]
            if words[_EPOCH] == epoch:
                return epoch, offset, base

    def has_moved(self, epoch: int, offset: int, synced: bool) -> bool:
        """Whether `limit` says something else than this; a reader that spins asks nothing else."""
        words = self.words
        return words[_SYNCED if synced else _WRITTEN] != offset or words[_EPOCH] != epoch

    def statistics(self) -> PositionsStatistics:
        """The writer's numbers; each is whole, together they may be a moment apart."""
        words = self.words
        return PositionsStatistics(
            epoch=words[_EPOCH],
            pid=words[_PID],
            state=JournalState(words[_STATE]),
            accepted_seq=max(words[_ACCEPTED_SEQ], words[_WRITTEN_SEQ]),
            written=words[_WRITTEN],
            written_seq=words[_WRITTEN_SEQ],
            synced=words[_SYNCED],
            synced_seq=words[_SYNCED_SEQ],
            held_bytes=words[_HELD],
            dropped_frames=words[_DROPPED_FRAMES],
            dropped_bytes=words[_DROPPED_BYTES],
            suspect_bytes=words[_SUSPECT],
        )

    # Waiter slots.

    def take_slot(self, port: int) -> int | None:
        """Index of the word `asleep` of a slot that is now ours; None when all are taken.

        A slot whose process is gone is taken over. Two that take one at the same instant do not
        see each other: the one whose port is not in it finds out by `owns_slot`.
        """
        own = os.getpid()
        for slot in range(SLOT_COUNT):
            at = _SLOTS + slot * _SLOT_WORDS
            pid = self.words[at]
            if pid == 0 or not _alive(pid):
                self.words[at + 1] = 0
                self.words[at + 2] = port
                self.words[at] = own
                self.words[_SLOTS_USED] = max(self.words[_SLOTS_USED], slot + 1)
                return at + 1
        return None

    def owns_slot(self, asleep_index: int, port: int) -> bool:
        """Whether the slot still wakes this port."""
        return self.words[asleep_index + 1] == port

    def set_asleep(self, asleep_index: int) -> None:
        """Ask to be woken; look at the positions once more after this, before sleeping."""
        self.words[asleep_index] = 1
        self.words[_SLEEPERS] = 1

    def is_asleep(self, asleep_index: int, port: int) -> bool:
        """Whether all that was set to have this port woken stands."""
        words = self.words
        return bool(words[asleep_index] and words[_SLEEPERS] and words[asleep_index + 1] == port)

    def set_awake(self, asleep_index: int) -> None:
        """Need no waking any more."""
        self.words[asleep_index] = 0

    def free_slot(self, asleep_index: int) -> None:
        """Give a slot back."""
        self.words[asleep_index] = 0
        self.words[asleep_index - 1] = 0


ASLEEP_INDEXES = tuple(_SLOTS + slot * _SLOT_WORDS + 1 for slot in range(SLOT_COUNT))
# What the writer stores with every block, and what a reader asks for it; both without a call.
WRITTEN_INDEX, WRITTEN_SEQ_INDEX = _WRITTEN, _WRITTEN_SEQ
EPOCH_INDEX, BASE_INDEX = _EPOCH, _BASE
GATE_INDEXES = (_WRITTEN, _SYNCED)  # by whether only what is synced may be read
SLEEPERS_INDEX, SLOTS_USED_INDEX = _SLEEPERS, _SLOTS_USED


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill(pid, 0) would end the process there; a slot of a dead one stays.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
