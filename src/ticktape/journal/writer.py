"""Appends blocks to a journal; the only place that gives an entry its `seq`.

Nothing here may fail on what a payload holds, and nothing here waits for a reader. A disk that
refuses does not stop the caller either: entries wait in memory up to a bound, then are dropped and
counted, and all
of it is loud (DESIGN §2.6). One thread appends; the group commit has its own (see `sync`).
"""

import secrets
import zlib
from array import array
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from filelock import FileLock, Timeout

from ticktape import clock
from ticktape.errors import JournalError, Locked
from ticktape.failpoints import Failpoints, from_environment
from ticktape.journal.disk import Disk, write_error
from ticktape.journal.format import (
    BLOCK_HEADER_BYTES,
    KIND_SHIFT,
    NONCE_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    pack_block_header,
    segment_name,
)
from ticktape.journal.positions import ACCEPTED_SEQ_INDEX, JournalState, Positions
from ticktape.journal.segments import JournalEnd, find_journal_end
from ticktape.journal.sync import GroupCommit
from ticktape.journal.wakeup import Waker
from ticktape.records import EntryKind

_RETRY_NS = 500_000_000  # how often a disk that refused is tried again
_json = msgspec.json.encode


class WriterConfig(NamedTuple):
    """What a writer needs to know; the defaults are DESIGN §9's."""

    sync: str = "group"
    commit_ms: int = 50
    segment_bytes: int = 268_435_456
    memory_bytes: int = 268_435_456


class _Held(NamedTuple):
    """A block that the disk has not taken yet."""

    seq: int
    kinds: list[int] | None
    kind: int
    payloads: list[bytes]
    recv_ns: int
    recv_mono_ns: int
    session: int
    bytes: int


class Writer:
    """The one writer of a journal.

    Every start makes a new epoch and a new segment; bytes that are there are never touched.

    Raises:
        Locked: another process writes this journal.
        JournalError: the first segment cannot be made.
    """

    def __init__(
        self,
        directory: Path,
        positions_path: Path,
        config: WriterConfig | None = None,
        *,
        disk: Disk | None = None,
        on_trouble: Callable[[JournalError], None] | None = None,
        on_synced: Callable[[int, int, int], None] | None = None,
        wall: clock.WallClock | None = None,
    ) -> None:
        self.directory = directory
        self.config = config or WriterConfig()
        self._disk = disk or Disk()
        self._on_trouble = on_trouble
        self._failpoints: Failpoints | None = from_environment()
        self._clock = wall or clock.WallClock()
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(directory / "writer.lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise Locked(
                f"{directory}: another recorder is writing here",
                hint="Stop it first, or give this one another directory.",
            ) from error
        try:
            self._open(positions_path, on_synced)
        except BaseException:
            self._lock.release()
            raise

    def _open(
        self, positions_path: Path, on_synced: Callable[[int, int, int], None] | None
    ) -> None:
        self.recovered: JournalEnd = find_journal_end(self.directory)
        self._settle_previous()
        self.epoch = self.recovered.next_epoch
        self.next_seq = self.recovered.next_seq
        self.journal_id = self.recovered.journal_id or secrets.token_bytes(16)
        self._boot_id = clock.boot_id()
        self.offset = 0
        self._base = 0
        self._descriptor = -1
        self._held: deque[_Held] = deque()
        self._held_bytes = 0
        self.dropped_frames = 0
        self.dropped_bytes = 0
        self._dropped_told = (0, 0)
        self._retry_at_ns = 0
        self._closed = False
        try:
            self._begin_segment()
            # The name of an epoch's first segment is durable before anything is in it: so no epoch,
            # and no position, is ever used twice, whatever a power cut takes.
            self._disk.sync(self._descriptor)
            self._disk.sync_directory(self.directory)
        except OSError as error:
            raise write_error(error, str(self.directory)) from error
        self.positions = Positions.for_writer(positions_path, self.epoch)
        self.positions.publish_written(self.offset, self.next_seq)
        self.positions.publish_synced(self.offset, self.next_seq)
        self._waker = Waker(self.positions)
        self._commit = GroupCommit(
            self._disk, self.directory, self.positions, self.config.commit_ms / 1000, on_synced
        )
        self._commit.follow(self._descriptor, named=True)
        if self.config.sync == "group":
            self._commit.start()

    def _settle_previous(self) -> None:
        """Make what an earlier epoch wrote durable, and write down how its last segment ended."""
        segment, end = self.recovered.last_segment, self.recovered.end
        if segment is None or end is None:
            return
        try:
            with open(segment.path, "rb+") as source:
                self._disk.sync(source.fileno())
            manifest = {
                "segment": segment.path.name,
                "end_offset": end.end_offset,
                "next_seq": max(end.next_seq, 0),
                "torn_bytes": end.torn_bytes,
                "torn_entries": end.torn_entries,
            }
            path = segment.path.with_suffix(".manifest.json")
            if not path.exists():
                self._disk.replace(path, _json(manifest) + b"\n")
        except OSError as error:
            raise write_error(error, str(segment.path)) from error

    def _begin_segment(self) -> None:
        nonce = secrets.token_bytes(NONCE_BYTES)
        mono_ns = clock.monotonic_ns()
        header = SegmentHeader(
            nonce,
            self.epoch,
            self.offset,
            self.next_seq if not self._held else self._held[0].seq,
            self._clock.wall_at(mono_ns),
            mono_ns,
            self._boot_id,
            self.journal_id,
        )
        path = self.directory / segment_name(self.epoch, self.offset)
        descriptor = self._disk.create(path)
        try:
            packed = header.pack()
            taken = self._disk.write(descriptor, packed)
            if taken != len(packed):
                raise OSError(28, "No space left for a segment's header", str(path))
        except OSError:
            self._disk.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self._descriptor = descriptor
        self._nonce = nonce
        self._base = self.offset
        self.offset += SEGMENT_HEADER_BYTES

    # Appending.

    def append(
        self,
        payloads: list[bytes],
        recv_ns: int,
        recv_mono_ns: int,
        session: int = 0,
        kind: int = EntryKind.TEXT,
        kinds: list[int] | None = None,
    ) -> int:
        """Accept one block and write it; returns the `seq` of its first entry, -1 if dropped.

        Args:
            payloads: the entries as received, at least one; kept no longer than the call unless
                the disk refuses.
            recv_ns: wall clock at the socket read.
            recv_mono_ns: the same instant on the monotonic clock.
            session: number of the connection.
            kind: what all entries are, unless `kinds` says it one by one.
            kinds: one EntryKind for each payload.
        """
        if self._held or self._descriptor < 0:
            return self._append_held(payloads, recv_ns, recv_mono_ns, session, kind, kinds)
        seq = self.next_seq
        self.next_seq = seq + len(payloads)
        self.positions.words[ACCEPTED_SEQ_INDEX] = self.next_seq
        block = self._build(seq, payloads, kinds, kind, recv_ns, recv_mono_ns, session)
        if not self._write(block):
            held = _Held(seq, kinds, kind, payloads, recv_ns, recv_mono_ns, session, len(block))
            self._hold(held)
            return seq
        self.positions.publish_written(self.offset, self.next_seq)
        self._waker.wake()
        if self.config.sync != "group":
            self._sync_each()
        else:
            self._commit.note_written()
        if self.offset - self._base >= self.config.segment_bytes:
            self._roll()
        return seq

    def append_json(
        self, kind: EntryKind, content: object, *, session: int = 0, mono_ns: int = 0
    ) -> int:
        """Append one entry of our own, stamped now unless `mono_ns` says when."""
        mono_ns = mono_ns or clock.monotonic_ns()
        return self.append([_json(content)], self._clock.wall_at(mono_ns), mono_ns, session, kind)

    def _build(
        self,
        seq: int,
        payloads: list[bytes],
        kinds: list[int] | None,
        kind: int,
        recv_ns: int,
        recv_mono_ns: int,
        session: int,
    ) -> bytes:
        count = len(payloads)
        if count == 1 and kinds is None:
            payload = payloads[0]
            body = (len(payload) | kind << KIND_SHIFT).to_bytes(4, "little") + payload
        else:
            words = array("I", map(len, payloads))
            if kinds is not None:
                for index, each in enumerate(kinds):
                    words[index] |= each << KIND_SHIFT
            elif kind:
                mark = kind << KIND_SHIFT
                words = array("I", [length | mark for length in words])
            body = b"".join((words.tobytes(), *payloads))
        header = pack_block_header(
            self._nonce,
            self.offset,
            seq,
            recv_ns,
            recv_mono_ns,
            len(body),
            count,
            session,
            zlib.crc32(body),
        )
        return header + body

    def _write(self, block: bytes) -> bool:
        """Hand a block to the system with one call; False when the disk refused."""
        if self._failpoints is not None and self._failpoints.hit("journal.write"):
            self._disk.write(self._descriptor, block[: BLOCK_HEADER_BYTES + 7])
            self._failpoints.die()
        try:
            taken = self._disk.write(self._descriptor, block)
        except OSError as error:
            self._trouble(write_error(error, self._segment_text()))
            self._leave_segment(0)
            return False
        if taken != len(block):
            short = OSError(28, f"took {taken} of {len(block)} bytes")
            self._trouble(write_error(short, self._segment_text()))
            self._leave_segment(taken)
            return False
        self.offset += taken
        return True

    def _segment_text(self) -> str:
        return f"{self.directory} epoch {self.epoch} offset {self.offset}"

    def _leave_segment(self, torn_bytes: int) -> None:
        """Give up the segment at a failed write; the next one begins behind what is torn."""
        self._commit.finish(self.offset, self.next_seq)
        self._disk.close(self._descriptor)
        self._descriptor = -1
        self.offset += torn_bytes
        self._retry_at_ns = clock.monotonic_ns() + _RETRY_NS

    def _trouble(self, error: JournalError) -> None:
        if self._on_trouble is not None:
            self._on_trouble(error)

    def _roll(self) -> None:
        old, end, seq = self._descriptor, self.offset, self.next_seq
        try:
            self._begin_segment()
        except OSError as error:
            self._trouble(write_error(error, self._segment_text()))
            self._leave_segment(0)
            return
        self._commit.finish(end, seq)
        self._disk.close(old)
        self._commit.follow(self._descriptor)
        self.positions.publish_segment(self._base)
        self.positions.publish_written(self.offset, self.next_seq)

    def _sync_each(self) -> None:
        if self.config.sync == "os":
            # Unsafe by choice: the system's word is taken for the disk's.
            self.positions.publish_synced(self.offset, self.next_seq)
        else:
            failed = self._commit.sync_now(self.offset, self.next_seq)
            if failed is not None:
                self._after_sync_failure(failed)

    # When the disk refuses.

    def _append_held(
        self,
        payloads: list[bytes],
        recv_ns: int,
        recv_mono_ns: int,
        session: int,
        kind: int,
        kinds: list[int] | None,
    ) -> int:
        size = BLOCK_HEADER_BYTES + sum(map(len, payloads)) + 4 * len(payloads)
        self._retry()
        if not self._held and self._descriptor >= 0:
            return self.append(payloads, recv_ns, recv_mono_ns, session, kind, kinds)
        if self._held_bytes + size > self.config.memory_bytes:
            self.dropped_frames += len(payloads)
            self.dropped_bytes += sum(map(len, payloads))
            self._tell_trouble(JournalState.DROPPING)
            return -1
        seq = self.next_seq
        self.next_seq = seq + len(payloads)
        self.positions.words[ACCEPTED_SEQ_INDEX] = self.next_seq
        self._hold(_Held(seq, kinds, kind, payloads, recv_ns, recv_mono_ns, session, size))
        return seq

    def _hold(self, held: _Held) -> None:
        self._held.append(held)
        self._held_bytes += held.bytes
        self._tell_trouble(JournalState.HOLDING)

    def _tell_trouble(self, state: JournalState) -> None:
        self.positions.publish_trouble(
            state, self._held_bytes, self.dropped_frames, self.dropped_bytes
        )

    def _retry(self, *, now: bool = False) -> None:
        """Try the disk again with a new segment, and write what is held, in order."""
        if not now and clock.monotonic_ns() < self._retry_at_ns:
            return
        if self._descriptor < 0:
            try:
                self._begin_segment()
            except OSError as error:
                self._trouble(write_error(error, self._segment_text()))
                self._retry_at_ns = clock.monotonic_ns() + _RETRY_NS
                return
            self._commit.follow(self._descriptor)
            self.positions.publish_segment(self._base)
        while self._held:
            held = self._held[0]
            block = self._build(
                held.seq,
                held.payloads,
                held.kinds,
                held.kind,
                held.recv_ns,
                held.recv_mono_ns,
                held.session,
            )
            if not self._write(block):
                self._tell_trouble(JournalState.HOLDING)
                return
            self._held.popleft()
            self._held_bytes -= held.bytes
            self.positions.publish_written(self.offset, held.seq + len(held.payloads))
        self._waker.wake()
        self._commit.note_written()
        self._tell_trouble(JournalState.OK)
        self._tell_dropped()

    def _tell_dropped(self) -> None:
        """Write down, in the journal itself, what was dropped since it was last told."""
        frames = self.dropped_frames - self._dropped_told[0]
        if frames:
            count_bytes = self.dropped_bytes - self._dropped_told[1]
            self._dropped_told = (self.dropped_frames, self.dropped_bytes)
            self.append_json(EntryKind.DROPPED, {"frames": frames, "bytes": count_bytes})

    def _after_sync_failure(self, failed: tuple[int, int, JournalError]) -> None:
        """What lay between synced and written is suspect: say so, and go on in a new segment."""
        start, end, error = failed
        self._trouble(error)
        self.positions.add_suspect(end - start)
        self._roll()
        self.append_json(
            EntryKind.NOTE,
            {"suspect": {"epoch": self.epoch, "from_offset": start, "to_offset": end}},
        )

    def tick(self) -> None:
        """Do what must not wait for the next block: retry the disk, see to a failed sync."""
        if self._held or self._descriptor < 0 or self.dropped_frames > self._dropped_told[0]:
            self._retry()
        failed = self._commit.take_failure()
        if failed is not None:
            self._after_sync_failure(failed)

    def state(self) -> JournalState:
        """How the writer stands with its disk."""
        return self.positions.statistics().state

    def sync(self) -> None:
        """Wait until all that is written is synced."""
        failed = self._commit.sync_now(self.offset, self.next_seq)
        if failed is not None:
            self._after_sync_failure(failed)

    def close(self) -> int:
        """Write what is held if the disk lets us, sync, leave; returns frames lost. Twice is fine.

        What is still held then is lost and counted as dropped.
        """
        if self._closed:
            return 0
        self._closed = True
        if self._held or self._descriptor < 0:
            self._retry(now=True)
        lost = sum(len(held.payloads) for held in self._held)
        self.dropped_frames += lost
        self.dropped_bytes += sum(held.bytes for held in self._held)
        if lost:
            self._tell_trouble(JournalState.DROPPING)
        self._commit.stop()
        if self._descriptor >= 0:
            self.sync()
            self._commit.finish(self.offset, self.next_seq)
            self._commit.sync_now(self.offset, self.next_seq)
            self._disk.close(self._descriptor)
            self._descriptor = -1
        if not lost:
            self.positions.publish_state(JournalState.CLOSED)
        self._waker.wake()
        self._waker.close()
        self.positions.close()
        self._lock.release()
        return lost

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
