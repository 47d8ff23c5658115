"""Seals closed segments: packs them, reads them back, and only then lets the plain file go.

A crash at any point leaves the plain file, or the sealed one, or both, of which the plain one
counts; a sealed file has its name only once it was synced, read back and found equal. What an
earlier try left is cleared by the next. Segments are sealed in their order, each chained to the one
before; one that cannot be sealed is left as it is.
"""

import contextlib
import errno
import itertools
import operator
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
from filelock import FileLock, Timeout

from ticktape import failpoints
from ticktape.checksum import crc32
from ticktape.errors import Corrupt, Locked
from ticktape.journal.blocks import Block, parse_blocks, resync
from ticktape.journal.disk import Disk
from ticktape.journal.format import (
    BLOCK_HEADER_BYTES,
    SEALED_SUFFIX,
    SEGMENT_HEADER_BYTES,
)
from ticktape.journal.packing import pack_blocks, pack_bytes
from ticktape.journal.positions import Positions
from ticktape.journal.recovery import find_end, manifest_path
from ticktape.journal.retention import last_link
from ticktape.journal.sealed import (
    SUSPECT,
    FrameHead,
    SealedFile,
    SealedHead,
    pack_index,
)
from ticktape.journal.segments import PlainFile, Segment, list_segments, read_opening
from ticktape.journal.suspects import Suspects

FRAME_PLAIN_BYTES = 1 << 20
"""About so much of whole blocks is in a frame; a larger block is in one of its own."""

LOCK = "seal.lock"
_READ_BYTES = 1 << 20
_FRESH = SEALED_SUFFIX + ".new"


class Sealed(NamedTuple):
    """A segment that was sealed, and what that saved."""

    segment: str
    plain_bytes: int
    sealed_bytes: int
    suspect: bool


class Sealer:
    """Seals the segments of one journal.

    Args:
        directory: the journal's folder.
        positions_path: the writer's mapped positions: only what is synced by them is sealed, and
            never the newest segment. None: no writer is at work now, and all that is there now was
            made durable; what a later one writes is left alone.
        disk: the system's, or one that a test can break.
        frame_bytes: about how much of the segment is in a frame.
    """

    def __init__(
        self,
        directory: Path,
        positions_path: Path | None,
        *,
        disk: Disk | None = None,
        frame_bytes: int = FRAME_PLAIN_BYTES,
    ) -> None:
        self.directory = directory
        self._positions_path = positions_path
        self._disk = disk or Disk()
        self._frame_bytes = frame_bytes
        self._suspects = Suspects(directory, positions_path)
        self._left_alone: set[Segment] = set()
        self._closed = set() if positions_path else set(list_segments(directory))

    def waiting(self) -> list[Segment]:
        """The segments that can be sealed now, in order."""
        segments = list_segments(self.directory)
        is_closed = self._is_closed_now(segments[-1:])
        return [
            each
            for each in segments
            if not each.is_sealed and each not in self._left_alone and is_closed(each)
        ]

    def _is_closed_now(self, newest: list[Segment]) -> Callable[[Segment], bool]:
        """What tells of a segment whether it is closed and on the disk."""
        if self._positions_path is None:
            return self._closed.__contains__
        positions = Positions.for_reader(self._positions_path)
        if positions is None:
            return lambda _: False  # nothing tells what is synced
        epoch, synced, _ = positions.limit(synced=True)
        positions.close()

        def is_closed(each: Segment) -> bool:
            if each in newest or each.epoch > epoch:
                return False
            return each.epoch < epoch or each.base + each.size_bytes() <= synced

        return is_closed

    def seal_next(self, on_progress: Callable[[int], None] | None = None) -> Sealed | None:
        """Seal the next segment; None when there is none to seal.

        Args:
            on_progress: called now and then with the bytes of it that are packed.

        Raises:
            Locked: another process seals this journal.
            OSError: the disk refused; the plain segment is untouched.
        """
        while waiting := self.waiting():
            segment = waiting[0]
            with self._alone():
                done = self._seal(segment, on_progress or _nobody)
            if done is not None:
                return done
            self._left_alone.add(segment)
        return None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        lock = FileLock(self.directory / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise Locked(
                f"{self.directory}: another ticktape seals here",
                hint="The recorder seals by itself while it runs; or wait for the other one.",
            ) from error
        try:
            self._clear()
            yield
        finally:
            lock.release()

    def _clear(self) -> None:
        """Remove what an earlier try left half made."""
        for path in self.directory.glob(f"*{_FRESH}"):
            self._disk.remove(path)

    def _seal(self, segment: Segment, on_progress: Callable[[int], None]) -> Sealed | None:
        """Seal one segment; None when it cannot be: it has no header by which to know blocks."""
        try:
            plain = PlainFile(segment.plain_path)
        except FileNotFoundError:
            return None  # another process was quicker
        with plain:
            if plain.size() < SEGMENT_HEADER_BYTES or read_opening(segment).nonce is None:
                return None
            path = segment.sealed_path
            if path.exists():
                # A crash left both: what was proved then is proved again before one goes.
                with contextlib.suppress(Corrupt):
                    self._prove(segment, plain, path)
                    return self._finish(segment, plain)
                self._disk.remove(path)
            fresh = path.with_name(path.name + ".new")
            try:
                self._write(segment, plain, fresh, on_progress)
                failpoints.pass_by("seal.written")
                self._prove(segment, plain, fresh)
            except BaseException:
                with contextlib.suppress(OSError):  # the error that led here is the one to report
                    self._disk.remove(fresh)
                raise
            failpoints.pass_by("seal.proved")
            self._disk.rename(fresh, path)
            failpoints.pass_by("seal.renamed")
            return self._finish(segment, plain)

    def _finish(self, segment: Segment, plain: PlainFile) -> Sealed:
        """The sealed file is whole and has its name: write it down, and let the plain one go."""
        path = segment.sealed_path
        self._disk.sync_directory(self.directory)
        with SealedFile(path) as sealed:
            head = sealed.head
            assert head is not None, "it was proved a moment ago"
        done = Sealed(segment.name, plain.size(), path.stat().st_size, bool(head.flags & SUSPECT))
        self._write_manifest(segment, head, done)
        failpoints.pass_by("seal.manifest")
        self._disk.remove(segment.plain_path)
        failpoints.pass_by("seal.removed")
        self._disk.sync_directory(self.directory)
        return done

    def _write_manifest(self, segment: Segment, head: SealedHead, done: Sealed) -> None:
        end = find_end(segment)
        manifest = {
            "segment": segment.name,
            "end_offset": end.end_offset,
            "next_seq": end.next_seq,
            "torn_bytes": end.torn_bytes,
            "torn_entries": end.torn_entries,
            "sealed": segment.sealed_path.name,
            "bytes": done.plain_bytes,
            "sealed_bytes": done.sealed_bytes,
            "sha256": head.sha256.hex(),
            "link": head.link(segment.name).hex(),
            "suspect": done.suspect,
        }
        self._disk.replace(manifest_path(segment), msgspec.json.encode(manifest) + b"\n")

    # Writing.

    def _write(
        self, segment: Segment, plain: PlainFile, fresh: Path, on_progress: Callable[[int], None]
    ) -> None:
        """Write the sealed file beside the plain one, and sync it."""
        is_closed = self._is_closed_now(list_segments(self.directory)[-1:])
        flags = SUSPECT if self._suspects.touch(segment, plain.size(), is_closed) else 0
        header, previous = plain.read_at(SEGMENT_HEADER_BYTES, 0), self._previous(segment)
        head = SealedHead(flags, header, plain.size(), _hash_of(plain), previous)
        descriptor = self._disk.create_anew(fresh)
        try:
            place = self._put(descriptor, head.pack())
            failpoints.pass_by("seal.begun")
            end = segment.base + SEGMENT_HEADER_BYTES
            index: list[tuple[int, int]] = []
            for frame, packed in _frames(segment, plain, self._frame_bytes):
                index.append((frame.offset, place))
                place += self._put(descriptor, frame.pack() + packed)
                end = frame.offset + frame.plain_bytes
                on_progress(end - segment.base)
            self._put(descriptor, pack_index([*index, (end, place)]))
            self._disk.sync(descriptor)
        finally:
            self._disk.close(descriptor)

    def _put(self, descriptor: int, content: bytes) -> int:
        view = memoryview(content)
        while view:
            taken = self._disk.write(descriptor, bytes(view))
            if not taken:  # asking again might never end
                raise OSError(errno.ENOSPC, f"took nothing of {len(view)} bytes")
            view = view[taken:]
        return len(content)

    def _prove(self, segment: Segment, plain: PlainFile, path: Path) -> None:
        """Read the sealed file back, and compare it with the plain one byte by byte.

        Raises:
            Corrupt: it does not give back what the plain one holds.
        """
        with SealedFile(path) as sealed:
            is_same = (
                sealed.head is not None
                and sealed.has_index
                and sealed.head.sha256 == _hash_of(plain)
                and sealed.size() == plain.size()
            )
            at = 0
            while is_same and at < plain.size():
                piece = plain.read_at(_READ_BYTES, at)
                is_same = piece == sealed.read_at(_READ_BYTES, at)
                at += len(piece)
        if not is_same:
            raise Corrupt(
                f"{path}: the disk gave back other bytes than were sealed",
                hint=f"{segment.name} is untouched; look at the disk.",
            )

    def _previous(self, segment: Segment) -> bytes:
        """The link of the sealed segment before this one, or of the last one that was deleted."""
        for each in reversed(list_segments(self.directory)):
            if each < segment and each.sealed_path.exists():
                with SealedFile(each.sealed_path) as sealed:
                    if sealed.head is not None:
                        return sealed.head.link(each.name)
        return last_link(self.directory)


def _hash_of(plain: PlainFile) -> bytes:
    digest, at = sha256(), 0
    while piece := plain.read_at(_READ_BYTES, at):
        digest.update(piece)
        at += len(piece)
    return digest.digest()


def _frames(
    segment: Segment, plain: PlainFile, frame_bytes: int
) -> Iterator[tuple[FrameHead, bytes]]:
    """The frames of a segment in order, packed: whole blocks, and what is none as it is."""
    nonce = read_opening(segment).nonce or b""
    size, at, want = plain.size(), SEGMENT_HEADER_BYTES, frame_bytes
    while at < size:
        chunk, offset = plain.read_at(max(want, BLOCK_HEADER_BYTES), at), segment.base + at
        blocks, bad = parse_blocks(chunk, segment.epoch, offset, nonce)
        if not blocks and bad is not None and bad.short and want < bad.need_bytes <= size - at:
            want = bad.need_bytes  # one large block
            continue
        want = frame_bytes
        if blocks:
            joined = _joined(blocks)
            piece = chunk[: joined[-1].end_offset - offset]
            packed, seq = (
                pack_blocks(piece, [each.offset - offset for each in joined]),
                blocks[0].seq,
            )
        else:
            joined, piece = [], _damaged(plain, at, offset, nonce)
            packed, seq = pack_bytes(piece), 0
        crc = crc32(packed)
        yield FrameHead(nonce, offset, seq, len(piece), len(packed), len(joined), crc), packed
        at += len(piece)


def _joined(blocks: list[Block]) -> list[Block]:
    """The first of them, as far as there is no hole in their numbers."""
    expected = itertools.accumulate((each.count for each in blocks), initial=blocks[0].seq)
    if all(map(operator.eq, (each.seq for each in blocks), expected)):
        return blocks
    for number, (block, following) in enumerate(itertools.pairwise(blocks), 1):
        if following.seq != block.next_seq:
            return blocks[:number]
    return blocks


def _damaged(plain: PlainFile, at: int, offset: int, nonce: bytes) -> bytes:
    """The bytes from here to the next true header, or to the end; of many the first."""
    chunk = plain.read_at(_READ_BYTES, at)
    found = resync(chunk, 1, offset, nonce)
    if found is None:
        # A header may straddle the chunks.
        is_end = len(chunk) < _READ_BYTES
        found = len(chunk) if is_end else len(chunk) - BLOCK_HEADER_BYTES + 1
    return chunk[:found]


def _nobody(_: int) -> None:
    pass
