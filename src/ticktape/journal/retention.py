"""Deletes a journal's oldest segments, and writes down which: what is gone is never a mystery.

Only closed segments go, from the oldest on, and none that somebody who makes something durable has
yet to read: who that is, the caller says by positions. A line in `deleted.jsonl` is on the disk
before its segment goes; a segment of which there is a line and that is still there was about to go
in a crash, and counts as there.
"""

import contextlib
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from ticktape import failpoints
from ticktape.errors import Corrupt
from ticktape.journal.disk import Disk
from ticktape.journal.reader import Reader
from ticktape.journal.recovery import find_end, manifest_path
from ticktape.journal.sealed import LINK_BYTES, SealedFile
from ticktape.journal.segments import Segment, list_segments
from ticktape.records import Position

DELETED = "deleted.jsonl"
_READ_BYTES = 1 << 20


class Deleted(msgspec.Struct, frozen=True):
    """A segment that is no longer there: its places, its entries, its bytes' digest, and when.

    It had the entries `first_seq` to before `next_seq`, received from `first_ns` to `last_ns`;
    `link` is what the next sealed segment is chained to, "" when this one never was sealed.
    """

    segment: str
    epoch: int
    base: int
    end_offset: int
    first_seq: int
    next_seq: int
    first_ns: int
    last_ns: int
    sha256: str
    link: str
    deleted_ns: int
    why: str

    @property
    def bytes(self) -> int:
        """How long it was while it was plain."""
        return self.end_offset - self.base


_lines = msgspec.json.Decoder(Deleted)


def read_deleted(directory: Path) -> list[Deleted]:
    """What is gone of a journal, in its order; a line that a crash tore is passed over."""
    found: dict[tuple[int, int], Deleted] = {}
    try:
        lines = (directory / DELETED).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            each = _lines.decode(line)
            found[each.epoch, each.base] = each
    there = {(each.epoch, each.base) for each in list_segments(directory)}
    return [found[place] for place in sorted(found) if place not in there]


class Pin(NamedTuple):
    """Where a reader stands that must not fall off; nothing from `from_ns` on may go either."""

    position: Position
    from_ns: int = 1 << 63


class Candidate(NamedTuple):
    """A segment that may go: what would be written of it, and what that frees."""

    segment: Segment
    disk_bytes: int
    last_ns: int


class Retention:
    """What may go of one journal.

    Args:
        directory: the journal's folder.
        disk: the system's, or one that a test can break.
    """

    def __init__(self, directory: Path, *, disk: Disk | None = None) -> None:
        self.directory = directory
        self._disk = disk or Disk()
        self._known: dict[Segment, tuple[Position, int]] = {}  # what is closed stays as it is

    def candidates(self, pins: Iterable[Pin]) -> list[Candidate]:
        """The segments that may go, the oldest first; never the newest one.

        A segment that cannot be read ends the list: nobody knows when it was.
        """
        pins = list(pins)
        segments = list_segments(self.directory)
        found = []
        for segment in segments[:-1]:
            known = self._end(segment)
            if known is None:
                break
            end, last_ns = known
            if any(pin.position < end or pin.from_ns <= last_ns for pin in pins):
                break
            found.append(Candidate(segment, segment.disk_bytes(), last_ns))
        return found

    def disk_bytes(self) -> int:
        """Bytes that all of the journal's segments take on the disk."""
        return sum(each.disk_bytes() for each in list_segments(self.directory))

    def newest_ns(self) -> int:
        """When the newest entry of the last two segments was received; 0 when there is none."""
        newest = (find_end(each).last for each in reversed(list_segments(self.directory)[-2:]))
        return next((block.recv_ns for block in newest if block is not None), 0)

    def delete(self, segment: Segment, why: str, now_ns: int) -> Deleted:
        """Write down that the oldest segment goes, and remove it.

        Raises:
            OSError: the disk refused; the segment may still be there, and then counts as there.
        """
        done = self._describe(segment, why, now_ns)
        path = self.directory / DELETED
        known = path.read_bytes() if path.exists() else b""
        if known and not known.endswith(b"\n"):
            known += b"\n"
        self._disk.replace(path, known + msgspec.json.encode(done) + b"\n")
        failpoints.pass_by("retention.written")
        for each in (segment.plain_path, segment.sealed_path, manifest_path(segment)):
            if each.exists():
                self._disk.remove(each)
        failpoints.pass_by("retention.removed")
        self._disk.sync_directory(self.directory)
        return done

    def _describe(self, segment: Segment, why: str, now_ns: int) -> Deleted:
        end = find_end(segment)
        first_seq, first_ns = self._first(segment)
        digest, link = _digest(segment)
        return Deleted(
            segment.name,
            segment.epoch,
            segment.base,
            segment.base + segment.size_bytes(),
            first_seq,
            max(end.next_seq, first_seq),
            first_ns,
            first_ns if end.last is None else end.last.recv_ns,
            digest,
            link,
            now_ns,
            why,
        )

    def _first(self, segment: Segment) -> tuple[int, int]:
        """Number and time of the first entry that it has, or would have."""
        following = next((e for e in list_segments(self.directory) if e > segment), segment)
        with Reader(self.directory, None, segment.position) as reader:
            blocks = reader.read_until(following.position, 1)
        first = (blocks[0].seq, blocks[0].recv_ns) if blocks else (0, 0)
        with contextlib.suppress(Corrupt):
            header = segment.header()
            first = header.first_seq, first[1] or header.created_ns
        return first

    def _end(self, segment: Segment) -> tuple[Position, int] | None:
        """Where a closed segment ends, and when its last entry came; None when nothing tells."""
        if segment not in self._known:
            last = find_end(segment).last
            try:
                last_ns = segment.header().created_ns if last is None else last.recv_ns
            except Corrupt:
                return None
            end = Position(segment.epoch, segment.base + segment.size_bytes())
            self._known[segment] = end, last_ns
        return self._known[segment]


def _digest(segment: Segment) -> tuple[str, str]:
    """The digest of its bytes, and the link to it if it is sealed; both in hex."""
    link = ""
    if segment.is_sealed:
        with SealedFile(segment.sealed_path) as sealed:
            if sealed.head is not None:
                link = sealed.head.link(segment.name).hex()
    digest, at = sha256(), 0
    with segment.open() as file:
        while piece := file.read_at(_READ_BYTES, at):
            digest.update(piece)
            at += len(piece)
    return digest.hexdigest(), link


def last_link(directory: Path) -> bytes:
    """The link of the newest segment that was sealed before it was deleted; zeros for none."""
    links = [each.link for each in read_deleted(directory) if each.link]
    return bytes.fromhex(links[-1]) if links else bytes(LINK_BYTES)


def entries_until(deleted: Iterable[Deleted], seq: int) -> int:
    """The first number from `seq` on that is of no deleted segment, when `seq` itself is of one."""
    for each in deleted:
        if each.first_seq <= seq < each.next_seq:
            seq = each.next_seq
    return seq
