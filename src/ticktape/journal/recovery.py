"""Where a journal ended, found from its back; and what makes its past durable before a new start.

Recovery never alters or cuts what is there: a torn end stays, and a manifest says how long it is.
"""

import errno
from pathlib import Path
from typing import NamedTuple

import msgspec

from ticktape.journal.blocks import Block, TrueHeader, parse_blocks, parse_header
from ticktape.journal.disk import Disk, sync_error
from ticktape.journal.format import BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES
from ticktape.journal.positions import Positions
from ticktape.journal.segments import Segment, find_next_epoch, list_segments, read_opening

# What a sync answers when bytes are lost; all else is a file that cannot be opened.
_SYNC_ERRORS = {errno.EIO, errno.ENOSPC, errno.EDQUOT}
_BACKWARD_BYTES = 1 << 20  # first look back; four times as far until a block is found


class SegmentEnd(NamedTuple):
    """How a segment ends: the last whole block, where it ends, and what lies behind it.

    `next_seq` is -1 when nothing tells; it counts the entries of a torn block whose header proves
    true, for they had numbers. `torn_entries` is how many they are.
    """

    last: Block | None
    end_offset: int
    next_seq: int
    torn_bytes: int
    torn_entries: int | None
    journal_id: bytes | None


def find_end(segment: Segment) -> SegmentEnd:
    """Find the end of a segment from its back, without reading the rest."""
    size = segment.size_bytes()
    header, nonce = read_opening(segment)
    journal_id = header.journal_id if header is not None else None
    if nonce is None:
        return SegmentEnd(None, segment.base, -1, size, None, journal_id)
    look = _BACKWARD_BYTES
    with segment.open() as file:
        while True:
            start = max(SEGMENT_HEADER_BYTES, size - look)
            chunk = file.read_at(max(size - start, 0), start)
            last, torn = _last_in(chunk, segment, segment.base + start, nonce)
            if last is not None or start == SEGMENT_HEADER_BYTES:
                break
            look *= 4
    if last is not None:
        end_offset, whole_seq = last.end_offset, last.next_seq
    else:
        end_offset = segment.base + SEGMENT_HEADER_BYTES
        whole_seq = header.first_seq if header is not None else -1
    next_seq = torn.seq + torn.entries if torn is not None else whole_seq
    return SegmentEnd(
        last,
        end_offset,
        max(next_seq, whole_seq),
        segment.base + size - end_offset,
        max(next_seq - whole_seq, 0) if torn is not None and whole_seq >= 0 else None,
        journal_id,
    )


def _last_in(
    chunk: bytes, segment: Segment, chunk_offset: int, nonce: bytes
) -> tuple[Block | None, TrueHeader | None]:
    """The last whole block in the end of a segment, and the last true header behind it."""
    torn: TrueHeader | None = None
    at = chunk.rfind(nonce)
    while at >= 0:
        header = parse_header(chunk, at, chunk_offset + at, nonce)
        if header is not None:
            alone = chunk[at : at + BLOCK_HEADER_BYTES + header.body_bytes]
            blocks, _ = parse_blocks(alone, segment.epoch, chunk_offset + at, nonce)
            if blocks:
                return blocks[0], torn
            torn = torn or header
        at = chunk.rfind(nonce, 0, at + len(nonce) - 1)
    return None, torn


class JournalEnd(NamedTuple):
    """Where a journal stands before a new start: what recovery found, reading only."""

    next_epoch: int
    next_seq: int
    last: Block | None
    last_segment: Segment | None
    end: SegmentEnd | None
    journal_id: bytes | None


def find_journal_end(directory: Path) -> JournalEnd:
    """Where the journal in `directory` ended, and what the next start must begin with."""
    next_epoch = find_next_epoch(directory)
    segments = list_segments(directory)
    if not segments:
        return JournalEnd(next_epoch, 0, None, None, None, None)
    newest_end: SegmentEnd | None = None
    last: Block | None = None
    journal_id: bytes | None = None
    next_seq = 0
    for segment in reversed(segments):
        end = find_end(segment)
        newest_end = newest_end or end
        last = last or end.last
        journal_id = journal_id or end.journal_id
        next_seq = max(next_seq, end.next_seq)
        if last is not None and journal_id is not None:
            break
    return JournalEnd(next_epoch, next_seq, last, segments[-1], newest_end, journal_id)


class Unsynced(NamedTuple):
    """What the disk would not make durable: [from_offset, end_offset) of an epoch, to `segment`.

    What of a segment was synced before, nothing on the disk tells. A sync that is asked again may
    say yes of bytes that the system has dropped, so that this is known once, or never.
    """

    segment: Segment
    from_offset: int
    end_offset: int
    error: OSError

    def note(self) -> bytes:
        """What an entry says of it."""
        place = {"from_offset": self.from_offset, "to_offset": self.end_offset}
        return msgspec.json.encode({"suspect": {"epoch": self.segment.epoch, **place}})


def make_durable(disk: Disk, directory: Path, found: JournalEnd) -> list[Unsynced]:
    """Sync all that the last epoch wrote, and its names; what the disk refused.

    A writer that was killed leaves bytes with the system, and not only in its last segment: once
    the next epoch is published, readers take all of the one before for synced.

    Raises:
        OSError: a segment cannot be opened; nothing is lost by that.
    """
    last = found.last_segment
    if last is None:
        return []
    epoch = [each for each in list_segments(directory) if each.epoch == last.epoch]
    refused: dict[Segment, OSError] = {}
    for each in epoch:
        try:
            disk.sync_file(each.path)
        except FileNotFoundError:
            continue  # sealed a moment ago, and synced before that
        except OSError as error:
            # Once one was refused the rest is not worth what is known of that.
            if error.errno not in _SYNC_ERRORS and not refused:
                raise
            refused[each] = error
    try:
        disk.sync_directory(directory)
    except OSError as error:
        refused = {each: refused.get(each, error) for each in epoch}
    return [
        Unsynced(each, each.base, each.base + each.size_bytes(), error)
        for each, error in refused.items()
    ]


def add_doubt(positions_path: Path, directory: Path, unsynced: list[Unsynced]) -> list[Unsynced]:
    """All that is to be noted as suspect: `unsynced`, and what earlier processes could not note.

    Those left it in the mapped positions, where `unsynced` is left, too: this start may come to
    nothing. After a boot they are not believed, and need not be: no sync can confirm then what is
    only in memory, for what is read was read from the disk.
    """
    positions = Positions.for_reader(positions_path)
    if positions is None:
        return unsynced
    try:
        doubt, epoch = positions.doubt(), positions.statistics().epoch
        mine = [each.from_offset for each in unsynced if each.segment.epoch == epoch]
        if mine:
            positions.publish_doubt(min(mine))
    finally:
        positions.close()
    segments = [each for each in list_segments(directory) if each.epoch == epoch]
    if doubt is None or not segments:
        return unsynced
    last = segments[-1]
    error = OSError(errno.EIO, "to a process that ended before it could write that down")
    found = [Unsynced(last, doubt.offset, last.base + last.size_bytes(), error)]
    for each in unsynced:
        if each.segment.epoch != epoch:
            found.append(each)
        elif each.from_offset < doubt.offset:
            found.append(each._replace(end_offset=min(each.end_offset, doubt.offset)))
    return found


def make_all_durable(directory: Path, positions_path: Path) -> JournalEnd:
    """Make durable what a writer that is gone had written; how the journal ends.

    Then all of it may be read as synced. How its last segment ended is for the next writer to write
    down: it may be starting now.

    Raises:
        SyncFailed: the disk refuses, or refused before: its yes of now is not trusted then.
    """
    try:
        found = find_journal_end(directory)
        refused = add_doubt(positions_path, directory, make_durable(Disk(), directory, found))
    except OSError as error:
        raise sync_error(error, str(directory)) from error
    for each in refused:
        raise sync_error(each.error, str(each.segment.path)) from each.error
    return found


def manifest_path(segment: Segment) -> Path:
    """Where it is written down how a segment ended, and by what it was sealed."""
    return segment.path.with_name(segment.name.partition(".")[0] + ".manifest.json")


def write_manifest(disk: Disk, found: JournalEnd) -> None:
    """Write down how the last segment ended, once.

    Raises:
        OSError: the disk refused.
    """
    segment, end = found.last_segment, found.end
    if segment is None or end is None:
        return
    path = manifest_path(segment)
    if not path.exists():
        manifest = {
            "segment": segment.name,
            "end_offset": end.end_offset,
            "next_seq": found.next_seq,
            "torn_bytes": end.torn_bytes,
            "torn_entries": end.torn_entries,
        }
        disk.replace(path, msgspec.json.encode(manifest) + b"\n")
