"""Appends blocks to a journal; the only place that gives an entry its `seq`.

Nothing here may fail on what a payload holds, and nothing here waits for a reader. A disk that
refuses does not stop the caller either: entries wait in memory up to a bound, then are dropped and
counted, and all of it is loud (DESIGN §2.6). One thread appends; the group commit has its own (see
`sync`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ticktape import clock
from ticktape.errors import JournalError
from ticktape.journal.disk import Disk, sync_error, write_error
from ticktape.journal.format import pack_body, pack_payloads, pack_pieces
from ticktape.journal.held import HeldBlock, HeldBlocks
from ticktape.journal.lock import lock_journal
from ticktape.journal.positions import JournalState
from ticktape.journal.recovery import (
    JournalEnd,
    add_doubt,
    find_journal_end,
    make_durable,
    write_manifest,
)
from ticktape.journal.sync import Failure
from ticktape.journal.tail import Tail
from ticktape.records import EntryKind

_RETRY_NS = 500_000_000  # how often a disk that refused is tried again
_SYNC_RETRY_NS_MAX = 32_000_000_000  # each try makes a segment: with a dead disk, not too many
_JOURNAL_ID_BYTES = 16


class WriterConfig(NamedTuple):
    """What a writer needs to know; the defaults are DESIGN §9's."""

    sync: str = "group"
    commit_ms: int = 50
    segment_bytes: int = 268_435_456
    memory_bytes: int = 268_435_456


class Writer:
    """The one writer of a journal.

    Every start makes a new epoch and a new segment; bytes that are there are never touched.

    Args:
        directory: the journal's folder; made if it is missing.
        positions_path: the small mapped file through which readers follow.
        config: sizes and times.
        disk: the system's, or one that a test can break.
        on_trouble: called with each refusal of the disk, from the writer's thread.
        on_synced: called with (from offset, to offset, monotonic ns) after each sync, from the
            thread that synced.
        wall: the clock of stamps and retries.

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
        self._clock = wall or clock.WallClock()
        self._on_trouble = on_trouble
        self._grouped = self.config.sync == "group"
        self._held = HeldBlocks(self.config.memory_bytes)
        self._holding = False  # from a refusal until all that is held is written
        self._retry_at_ns = 0
        self._sync_retry_at_ns = 0
        self._sync_retry_ns = _RETRY_NS
        self._suspect_end = 0
        self._state = JournalState.OK
        self._closed = False
        try:
            self._lock = lock_journal(directory)
            try:
                self._open(positions_path, on_synced)
            except BaseException:
                self._lock.release()
                raise
        except OSError as error:
            raise write_error(error, str(directory)) from error

    def _open(
        self, positions_path: Path, on_synced: Callable[[int, int, int], None] | None
    ) -> None:
        disk, directory = self._disk, self.directory
        self.recovered: JournalEnd = find_journal_end(directory)
        if self.recovered.next_epoch == 0:
            # The folders' own names, before there is anything in them that could be lost.
            disk.sync_parents(directory)
        unsynced = make_durable(disk, directory, self.recovered)
        unsynced = add_doubt(positions_path, directory, unsynced)
        write_manifest(disk, self.recovered)
        self.epoch = self.recovered.next_epoch
        self.next_seq = self.recovered.next_seq
        self.journal_id = self.recovered.journal_id or disk.random_bytes(_JOURNAL_ID_BYTES)
        self._tail = Tail(
            disk, directory, self.epoch, self.journal_id, self._clock, self.config.segment_bytes
        )
        suspects, last = [each.note() for each in unsynced], self.recovered.last
        now_ns = self._clock.wall_at(self._clock.monotonic_ns())
        for each in unsynced:
            self._tell(sync_error(each.error, str(each.segment.path)))
        self._tail.open(
            self.next_seq,
            suspects,
            now_ns if last is None else last.recv_ns,
            positions_path,
            self.config.sync,
            self.config.commit_ms / 1000,
            on_synced,
        )
        self.next_seq += len(suspects)
        self.positions = self._tail.positions
        self._commit = self._tail.commit

    @property
    def offset(self) -> int:
        """Where the next block will lie in this epoch."""
        return self._tail.offset

    # Appending.

    def append(
        self,
        payloads: Sequence[bytes],
        recv_ns: int,
        recv_mono_ns: int,
        session: int = 0,
        kind: int = EntryKind.TEXT,
        kinds: Sequence[int] | None = None,
    ) -> int:
        """Accept one block and write it; returns the `seq` of its first entry, -1 if dropped.

        Args:
            payloads: the entries as received, at least one; not kept.
            recv_ns: wall clock at the socket read.
            recv_mono_ns: the same instant on the monotonic clock.
            session: number of the connection.
            kind: what all entries are, unless `kinds` says it one by one.
            kinds: one EntryKind for each payload.

        Raises:
            ValueError: more than BODY_BYTES_MAX at once; nothing was accepted.
        """
        if self._holding:
            self._retry()
        tail = self._tail
        seq, count = self.next_seq, len(payloads)
        # Before it is held, too: what cannot be packed is never accepted.
        block, rest = pack_payloads(
            tail.nonce, tail.offset, seq, recv_ns, recv_mono_ns, session, payloads, kind, kinds
        )
        if self._holding:
            body = pack_body(payloads, kind, kinds)
            # A note is small and rare, and without it nobody knows what a failed sync took.
            always = kind == EntryKind.NOTE
            return self._hold(count, recv_ns, recv_mono_ns, session, body, always=always)
        try:
            tail.write(block, rest, seq + count)
        except OSError as error:
            self._refuse(error)
            body = pack_body(payloads, kind, kinds)
            # This block had room when it came, and is kept even beyond the bound.
            return self._hold(count, recv_ns, recv_mono_ns, session, body, always=True)
        self.next_seq = seq + count
        if not self._grouped:
            tail.settle()
        if tail.offset >= tail.full_offset:
            self._roll()
        if self._commit.failing:
            self._see_to_sync()
        return seq

    def append_json(
        self, kind: EntryKind, content: object, *, session: int = 0, mono_ns: int = 0
    ) -> int:
        """Append one entry of our own, stamped now unless `mono_ns` says when."""
        mono_ns = mono_ns or self._clock.monotonic_ns()
        payload = msgspec.json.encode(content)
        return self.append([payload], self._clock.wall_at(mono_ns), mono_ns, session, kind)

    # When the disk refuses.

    def _refuse(self, error: OSError) -> None:
        """Give up the segment, if there is one; entries wait in memory from now."""
        self._trouble(error)
        try:
            self._tail.leave()
        except OSError as later:
            self._trouble(later)
        self._holding = True
        self._retry_at_ns = self._clock.monotonic_ns() + _RETRY_NS
        self._publish_state()

    def _roll(self) -> None:
        try:
            self._tail.roll()
        except OSError as error:
            self._refuse(error)

    def _hold(
        self,
        count: int,
        recv_ns: int,
        recv_mono_ns: int,
        session: int,
        body: bytes,
        *,
        always: bool = False,
    ) -> int:
        """Keep a block in memory, or drop it if there is no room; its `seq`, or -1."""
        seq = self.next_seq
        block = HeldBlock(seq, recv_ns, recv_mono_ns, count, session, body)
        if always or self._held.has_room(block):
            self._held.add(block)
            self.next_seq = seq + count
        else:
            self._held.drop(block)
            seq = -1
        self._publish_state()
        return seq

    def _retry(self, *, now: bool = False) -> None:
        """Try the disk again with a new segment, and write what is held, in order."""
        assert not self._closed, "append after close"
        if not now and self._clock.monotonic_ns() < self._retry_at_ns:
            return
        self._drain()
        self._publish_state()
        # While more is held, too, when there is room again: what comes now must stand behind it.
        if not self._held.is_told() and (not self._holding or self._held.may_tell()):
            self.append_json(EntryKind.DROPPED, self._held.tell(self.next_seq))

    def _drain(self) -> None:
        tail = self._tail
        try:
            if not tail.is_open:
                tail.roll()
            while self._held:
                first = self._held.first
                block, rest = pack_pieces(tail.nonce, tail.offset, *first)
                tail.write(block, rest, first.seq + first.entries)
                self._held.pop()
                if not self._grouped:
                    tail.settle()
                if tail.offset >= tail.full_offset:
                    tail.roll()
        except OSError as error:
            self._refuse(error)
        else:
            self._holding = False

    def _see_to_sync(self, *, now: bool = False) -> bool:
        """If a sync failed, say what is suspect and go on in a new segment; whether one did."""
        if not self._commit.failing:
            self._sync_retry_ns = _RETRY_NS
        elif not now and self._clock.monotonic_ns() < self._sync_retry_at_ns:
            return False
        failures = self._commit.take_failures()
        if not failures:
            return False
        # Set before anything is appended: with a dead disk each new segment's sync fails, too.
        self._sync_retry_at_ns = self._clock.monotonic_ns() + self._sync_retry_ns
        self._sync_retry_ns = min(2 * self._sync_retry_ns, _SYNC_RETRY_NS_MAX)
        if failures[-1].end() is None:
            self._roll()
        for failure in failures:
            self._tell(failure.error)
            self._append_suspect(failure)
        self._commit.told(self.next_seq)
        if not self._grouped:
            self._tail.settle()
        self._publish_state()
        return True

    def _append_suspect(self, failure: Failure) -> None:
        start, end = failure.start, failure.end()
        assert end is not None, "the file that failed is left by now"
        self.positions.add_suspect(end - max(start, self._suspect_end))
        self._suspect_end = end
        suspect = {"epoch": self.epoch, "from_offset": start, "to_offset": end}
        self.append_json(EntryKind.NOTE, {"suspect": suspect})

    def _trouble(self, error: OSError) -> None:
        place = f"{self.directory} epoch {self.epoch} offset {self.offset}"
        self._tell(write_error(error, place))

    def _tell(self, error: JournalError) -> None:
        if self._on_trouble is not None:
            self._on_trouble(error)

    # How it stands.

    @property
    def dropped_frames(self) -> int:
        """Entries that never came into the journal; counted since the start."""
        return self._held.dropped_frames

    @property
    def untold_frames(self) -> int:
        """Those of them of which no entry tells: after `close`, only its caller can."""
        return self._held.untold_frames

    @property
    def dropped_bytes(self) -> int:
        """Their payloads' bytes."""
        return self._held.dropped_bytes

    def state(self) -> JournalState:
        """How the writer stands with its disk."""
        if self._closed:
            return self._state
        if self._holding:
            return JournalState.HOLDING if self._held.is_told() else JournalState.DROPPING
        return JournalState.SUSPECT if self._commit.failing else JournalState.OK

    def _publish_state(self, state: JournalState | None = None) -> None:
        self._state = self.state() if state is None else state
        held = self._held
        self.positions.publish_trouble(
            self._state, self.next_seq, held.bytes, held.dropped_frames, held.dropped_bytes
        )

    def tick(self) -> None:
        """Do what must not wait for the next block: retry the disk, see to a failed sync."""
        if self._closed:
            return
        if self._holding:
            self._retry()
        self._see_to_sync()
        if self._state is not self.state():
            self._publish_state()

    def sync(self) -> None:
        """Wait until all that is written is synced; `state` says if the disk refused."""
        self._tail.sync()
        self._see_to_sync()

    def close(self) -> int:
        """Write what is held if the disk lets us, sync, leave; returns entries lost. Twice is fine.

        What is still held then is lost and counted as dropped.
        """
        if self._closed:
            return 0
        try:
            return self._finish()
        finally:
            self._closed = self._holding = True  # whatever is appended now finds an assertion
            self._tail.close()
            self._lock.release()

    def _finish(self) -> int:
        if self._holding:
            self._retry(now=True)
        self._commit.stop()
        for _ in range(2):  # the second, for the note that the first one failed
            self._tail.sync()
            if not self._see_to_sync(now=True):
                break
        lost = self._held.lose_all()
        state = JournalState.SUSPECT if self._commit.failing else JournalState.CLOSED
        self._publish_state(JournalState.DROPPING if lost else state)
        return lost

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
