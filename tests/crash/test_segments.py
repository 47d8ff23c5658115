"""Cut the last segment at every byte, flip every byte of it: nothing outside the hit block is lost.

After each of it a reader reads all, a live one follows, and a new writer goes on.
"""

from pathlib import Path

import pytest

from ticktape.journal.disk import Disk
from ticktape.journal.format import BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES
from ticktape.journal.reader import Reader
from ticktape.journal.segments import list_segments
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.records import Position

SIZES = [(5,), (0, 30), (1,), (40, 0, 9)]  # the blocks of each segment


class QuickDisk(Disk):
    """A disk that does not wait: what survives is what the test leaves."""

    def sync(self, descriptor):
        pass

    def sync_directory(self, path):
        pass


def start_writer(directory, positions, segment_bytes=1 << 20):
    return Writer(directory, positions, WriterConfig("os", 50, segment_bytes), disk=QuickDisk())


def read(directory, start=Position(0, 0)):  # noqa: B008 - immutable
    with Reader(directory, None, start) as reader:
        found = []
        while blocks := reader.read():
            found += blocks
        return found, reader.damage, reader.position


def entries(blocks):
    return [entry[:3] for block in blocks for entry in block.entry_records()]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two small segments of one epoch: (directory, blocks, path and content of the last one)."""
    root = tmp_path_factory.mktemp("made")
    size = SEGMENT_HEADER_BYTES + sum(
        BLOCK_HEADER_BYTES + 4 * len(block) + sum(block) for block in SIZES
    )
    with start_writer(root / "journal", root / "positions", size) as writer:
        for number in range(2 * len(SIZES)):
            payloads = [bytes([65 + number]) * size for size in SIZES[number % len(SIZES)]]
            writer.append(payloads, 1000 + number, 2000 + number, 1, number % 3)
        # The roll after the last block made a third segment, without any.
    _, last, empty = list_segments(root / "journal")
    empty.path.unlink()
    blocks, damage, _ = read(root / "journal")
    assert len(blocks) == 2 * len(SIZES)
    assert damage == []
    return root / "journal", blocks, last, last.path.read_bytes()


@pytest.fixture
def hit(made, tmp_path):
    """A function that makes a fresh copy with other bytes in the last segment: its folder."""
    directory, _, last, _ = made
    first = list_segments(directory)[0]
    target = tmp_path / "journal"
    target.mkdir()
    (target / first.path.name).write_bytes(first.path.read_bytes())

    def copy(content: bytes) -> Path:
        for path in target.iterdir():
            if path.name != first.path.name:
                path.unlink()
        (target / last.path.name).write_bytes(content)
        return target

    return copy


def go_on(directory, root):
    """Start a writer on it, append, and read everything again."""
    with start_writer(directory, root / "positions") as writer:
        recovered = writer.recovered
        seq = writer.append([b"goes on"], 1, 2)
        assert writer.epoch == 1
    blocks, damage, _ = read(directory)
    assert blocks[-1].entry_records()[0][:3] == (seq, 0, b"goes on")
    assert blocks[-1].epoch == 1
    return recovered, blocks[:-1], damage


def test_cut_at_every_byte(made, hit, tmp_path):
    _, blocks, last, content = made
    for size in range(len(content)):
        directory = hit(content[:size])
        end = last.base + size
        whole = [block for block in blocks if block.end_offset <= end]
        found, damage, position = read(directory)
        assert found == whole
        start = max(whole[-1].end_offset, last.base + SEGMENT_HEADER_BYTES)
        if size <= SEGMENT_HEADER_BYTES:
            assert damage == []  # it may just be being made
        elif end > whole[-1].end_offset:
            [torn] = damage
            assert (torn.epoch, torn.offset, torn.bytes, torn.torn) == (0, start, end - start, True)
            # As soon as its header is whole it tells how many entries it held.
            cut = next(block for block in blocks if block.offset == start)
            header = end - start >= BLOCK_HEADER_BYTES
            assert torn.entries == (cut.count if header else None)
            assert position == Position(0, end)
        else:
            assert damage == []

        recovered, found, damage = go_on(directory, tmp_path)
        assert found == whole
        assert recovered.last == whole[-1]
        assert recovered.next_seq >= whole[-1].next_seq
        assert sum(each.bytes for each in damage) == (
            size if size < SEGMENT_HEADER_BYTES else end - start
        )
        # A reader that stood at the very end before the cut moves on, and says what it lost.
        moved, damage, _ = read(directory, blocks[-1].end)
        assert [block.epoch for block in moved] == [1]
        assert sum(each.bytes for each in damage) == len(content) - size


def test_flip_every_byte(made, hit, tmp_path):
    _, blocks, last, content = made
    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << at % 8
        directory = hit(bytes(flipped))
        place = last.base + at
        if at < SEGMENT_HEADER_BYTES:
            alive, start, size, lost = blocks, last.base, SEGMENT_HEADER_BYTES, 0
        else:
            [dead] = [block for block in blocks if block.offset <= place < block.end_offset]
            alive = [block for block in blocks if block is not dead]
            start, size, lost = dead.offset, dead.end_offset - dead.offset, dead.count
        found, [damage], _ = read(directory)
        assert found == alive
        assert (damage.epoch, damage.offset, damage.bytes) == (0, start, size)
        # A damaged header of the very last block leaves nothing that could tell.
        unknown = start == blocks[-1].offset and at < start - last.base + BLOCK_HEADER_BYTES
        assert damage.entries == (None if unknown else lost)

        recovered, found, _ = go_on(directory, tmp_path)
        assert found == alive
        assert recovered.last == alive[-1]
        # Who comes back to any block's position reads the rest, and only that.
        for block in alive[-3:]:
            assert entries(read(directory, block.position)[0])[: block.count] == entries([block])


def test_zeros_from_every_byte_on(made, hit, tmp_path):
    """What power loss leaves where a file grew and its bytes did not come: zeros to the end."""
    _, blocks, last, content = made
    for at in range(SEGMENT_HEADER_BYTES, len(content)):
        directory = hit(content[:at] + bytes(len(content) - at))
        whole = [block for block in blocks if block.end_offset <= last.base + at]
        found, damage, _ = read(directory)
        # A block that ends in zeros itself may be whole with fewer.
        assert found[: len(whole)] == whole
        assert all(block in blocks for block in found)
        start = max(found[-1].end_offset, last.base + SEGMENT_HEADER_BYTES)
        assert sum(each.bytes for each in damage) == last.base + len(content) - start
        recovered, found, _ = go_on(directory, tmp_path)
        assert recovered.last == found[-1]


def test_cut_while_a_reader_follows(made, hit, tmp_path):
    """The positions say more than the file has: the reader waits, then goes over to the next."""
    _, blocks, _, content = made
    for size in range(0, len(content), 7):
        directory = hit(content)
        positions = tmp_path / f"positions{size}"
        with Reader(directory, positions) as reader:
            assert sum(1 for _ in iter(reader.read, [])) > 0
            assert reader.position == blocks[-1].end
            hit(content[:size])
            with start_writer(directory, positions) as writer:
                writer.append([b"goes on"], 1, 2)
                assert [block.epoch for block in reader.read()] == [1]
            assert sum(each.bytes for each in reader.damage) == len(content) - size
