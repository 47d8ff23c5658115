"""A journal's live end: the segment in hand, what is published of it, and its commit.

No position is ever given twice here: the next segment begins behind whatever the system took of
this one. What to do when the disk refuses is the writer's business; here it is only raised.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from ticktape import clock
from ticktape.failpoints import Failpoints, from_environment
from ticktape.journal.disk import Disk
from ticktape.journal.format import (
    BLOCK_HEADER_BYTES,
    NONCE_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    pack_block,
    pack_body,
)
from ticktape.journal.positions import (
    SLEEPERS_INDEX,
    WRITTEN_INDEX,
    WRITTEN_SEQ_INDEX,
    Positions,
)
from ticktape.journal.segment_file import HalfMade, create_segment, short_write
from ticktape.journal.sync import GroupCommit
from ticktape.journal.wakeup import Waker
from ticktape.records import EntryKind


class Tail:
    """The end of one epoch, from its first segment on.

    Args:
        disk: the system's, or one that a test can break.
        directory: the journal's folder.
        epoch: a new one.
        journal_id: 16 bytes, for the headers.
        wall: the clock that stamps the headers.
        segment_bytes: a segment of this size is full.
    """

    __slots__ = (
        "_base",
        "_boot_id",
        "_clock",
        "_descriptor",
        "_directory",
        "_disk",
        "_pending",
        "_segment_bytes",
        "_sync",
        "_waker",
        "_words",
        "_write",
        "_write_pieces",
        "commit",
        "epoch",
        "full_offset",
        "journal_id",
        "nonce",
        "offset",
        "positions",
    )

    commit: GroupCommit
    positions: Positions

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        epoch: int,
        journal_id: bytes,
        wall: clock.WallClock,
        segment_bytes: int,
    ) -> None:
        self.epoch = epoch
        self.journal_id = journal_id
        self.nonce = b""
        self.offset = 0
        self.full_offset = 0  # from here on the segment is to be rolled
        self._segment_bytes = segment_bytes
        self._base = 0
        self._descriptor = -1
        self._disk = disk
        self._directory = directory
        self._clock = wall
        self._boot_id = clock.boot_id()
        failpoints = from_environment()
        self._write: Callable[[int, bytes], int] = disk.write
        self._write_pieces: Callable[[int, Sequence[bytes]], int] = disk.write_pieces
        if failpoints is not None:
            self._write = write = _dying_write(disk, failpoints)
            self._write_pieces = lambda descriptor, pieces: write(descriptor, b"".join(pieces))

    def open(
        self,
        next_seq: int,
        notes: list[bytes],
        notes_recv_ns: int,
        positions_path: Path,
        sync: str,
        commit_s: float,
        on_synced: Callable[[int, int, int], None] | None,
    ) -> None:
        """Make the epoch's first segment, publish it, and begin to commit.

        `notes` are its first entries, on the disk before anything is published: who hears of this
        epoch takes the one before for synced, and they say what of it is not. They are stamped
        `notes_recv_ns`: a start that dies here leaves a journal that ends where it ended before.

        Raises:
            OSError: the disk refused.
        """
        self._begin(next_seq)
        try:
            if notes:
                next_seq += self._write_notes(notes, next_seq, notes_recv_ns)
            # The name of an epoch's first segment is durable before anything is in it: so no
            # epoch, and no position, is ever used twice, whatever a power cut takes.
            self._disk.sync(self._descriptor)
            self._disk.sync_directory(self._directory)
            self.positions = Positions.for_writer(positions_path, self.epoch)
        except BaseException:
            self._disk.close(self._descriptor)
            raise
        self._words = self.positions.words
        self.positions.publish_written(self.offset, next_seq)
        self.positions.publish_synced(self.offset, next_seq)
        self._waker = Waker(self.positions)
        self._waker.wake()  # who sleeps since the last epoch; its writer may have died in `wake`
        self.commit = GroupCommit(self._disk, self._directory, self.positions, commit_s, on_synced)
        self.commit.follow(self._descriptor, named=True)
        self._pending = self.commit.pending
        self._sync = sync
        if sync == "group":
            self.commit.start()

    def _write_notes(self, notes: list[bytes], seq: int, recv_ns: int) -> int:
        body, count = pack_body(notes, EntryKind.NOTE, None), len(notes)
        mono_ns = self._clock.monotonic_ns()
        block = pack_block(self.nonce, self.offset, seq, recv_ns, mono_ns, count, 0, body)
        taken = self._write(self._descriptor, block)
        if taken != len(block):
            raise short_write(taken, len(block))
        self.offset += taken
        return count

    # The path of the data.

    def write(self, block: bytes, rest: bytes, next_seq: int) -> None:
        """Append a block with one call and publish it; `rest` is its second piece, or empty.

        Raises:
            OSError: the disk refused, or took only a part; only `leave` may follow.
        """
        size = len(block)
        if rest:
            size += len(rest)
            taken = self._write_pieces(self._descriptor, (block, rest))
        else:
            taken = self._write(self._descriptor, block)
        if taken != size:
            raise short_write(taken, size)
        words = self._words
        self.offset = offset = self.offset + taken
        words[WRITTEN_SEQ_INDEX] = next_seq
        words[WRITTEN_INDEX] = offset
        if words[SLEEPERS_INDEX]:
            self._waker.wake()
        if not self._pending.is_set():
            self._pending.set()

    def settle(self) -> None:
        """What follows each block where there is no group commit: sync it, or claim to have."""
        if self._sync == "os":
            # Unsafe by choice: the system's word is taken for the disk's.
            self.positions.publish_synced(*self.written())
        else:
            self.sync()

    def written(self) -> tuple[int, int]:
        """Where the last whole block ends, and the number behind it."""
        return self._words[WRITTEN_INDEX], self._words[WRITTEN_SEQ_INDEX]

    def sync(self) -> None:
        """Wait until all that is written is synced, or the commit has a failure."""
        self.commit.sync_now(*self.written())

    # Segments.

    @property
    def is_open(self) -> bool:
        """Whether there is a segment to write to."""
        return self._descriptor >= 0

    def roll(self) -> None:
        """Go on in a new segment.

        Raises:
            OSError: the disk refused the new segment, or lost something of the old one.
        """
        old = self._descriptor
        self._begin(self._words[WRITTEN_SEQ_INDEX])
        if old >= 0:
            self._finish_file()
            self._disk.close(old)
        self.commit.follow(self._descriptor)
        self.positions.publish_segment(self._base)

    def leave(self) -> None:
        """Give up the segment at a refusal; what the system took of a block stays, torn.

        Raises:
            OSError: the disk says only now that it lost something; the file is closed.
        """
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        self._finish_file()
        try:
            self.offset = max(self.offset, self._base + self._disk.size(descriptor))
        finally:
            self._disk.close(descriptor)

    def _begin(self, first_seq: int) -> None:
        mono_ns = self._clock.monotonic_ns()
        header = SegmentHeader(
            self._disk.random_bytes(NONCE_BYTES),
            self.epoch,
            self.offset,
            first_seq,
            self._clock.wall_at(mono_ns),
            mono_ns,
            self._boot_id,
            self.journal_id,
        )
        try:
            self._descriptor = create_segment(self._disk, self._directory, header)
        except HalfMade:
            self.offset += SEGMENT_HEADER_BYTES  # that name is spent, and so is what lies there
            raise
        self.nonce = header.nonce
        self._base = self.offset
        self.full_offset = self._base + self._segment_bytes
        self.offset += SEGMENT_HEADER_BYTES

    def _finish_file(self) -> None:
        self.commit.finish(*self.written())
        if self._sync == "os":
            self.commit.forget_finished()

    def close(self) -> None:
        """Give everything back."""
        self.commit.close()
        if self._descriptor >= 0:
            self._disk.close(self._descriptor)
            self._descriptor = -1
        self._waker.wake()
        self._waker.close()
        self.positions.close()


def _dying_write(disk: Disk, failpoints: Failpoints) -> Callable[[int, bytes], int]:
    """What a test sets in place of `write`, to die within a block, its header, or right behind."""
    ends = {
        "journal.write": BLOCK_HEADER_BYTES + 7,
        "journal.header": BLOCK_HEADER_BYTES // 2,
        "journal.unpublished": None,
    }

    def write(descriptor: int, block: bytes) -> int:
        if failpoints.name in ends and failpoints.hit(failpoints.name):
            disk.write(descriptor, block[: ends[failpoints.name]])
            failpoints.die()
        return disk.write(descriptor, block)

    return write
