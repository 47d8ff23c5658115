"""Flip every bit of a small journal of several starts, cut each of its files at every byte.

The last segment by itself, byte by byte, is `test_segments`' matter; here it is the whole folder
with its manifests, what a synced reader and a saved position make of it, and every single bit.
"""

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its two modules, also under pytest

from power_disk import QuickDisk
from power_proof import FEED, NEVER_MS, Session, read

from ticktape.journal.position_file import load_positions, save_positions
from ticktape.journal.recovery import find_journal_end
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.records import Position

STEPS = [
    ("open",),
    ("append", 6, 0),
    ("append", 90),
    ("append", 3),
    ("close",),
    ("open",),
    ("append", 1, 1, 1),
    ("append", 12),
    ("close",),
]


@pytest.fixture
def small(tmp_path):
    """A journal of two epochs and three segments: (folder, blocks, {path: content})."""
    root = tmp_path / "disk"
    root.mkdir()
    session = Session(root, segment_bytes=300).run(STEPS).end()
    files = {path: path.read_bytes() for path in sorted(session.journal.iterdir())}
    files.pop(session.journal / "writer.lock", None)
    blocks, damage = read(session.journal)
    assert damage == []
    assert len([path for path in files if path.suffix == ".seg"]) == 3
    return session.journal, blocks, files


def base_of(path):
    epoch, base = path.stem.split("-")
    return Position(int(epoch), int(base))


def hit_block(blocks, path, at):
    """The block that holds byte `at` of a file; None in a header."""
    start = base_of(path)
    place = Position(start.epoch, start.offset + at)
    return next((block for block in blocks if block.position <= place < block.end), None)


def go_on(journal, positions):
    """A new start: its epoch, and all blocks that are read then."""
    config = WriterConfig("os", NEVER_MS)
    with Writer(journal, positions, config, disk=QuickDisk()) as writer:
        seq = writer.append([b"goes on"], 1, 2)
        epoch = writer.epoch
    blocks, _ = read(journal)
    assert (blocks[-1].seq, blocks[-1].epoch) == (seq, epoch)
    for path in journal.iterdir():
        if path.name.startswith(f"{epoch:06d}-"):
            path.unlink()
    return epoch, blocks[:-1]


def test_every_flipped_bit_costs_its_block_alone_and_is_told_with_its_place(small, tmp_path):
    journal, blocks, files = small
    for path, content in files.items():
        for bit, flipped in enumerate(flips(content)):
            path.write_bytes(flipped)
            found, damage = read(journal)
            if path.suffix != ".seg":
                assert (found, damage) == (blocks, [])  # no reader looks into a manifest
                continue
            dead = hit_block(blocks, path, bit // 8)
            assert found == [block for block in blocks if block is not dead], (path.name, bit)
            [told] = damage
            place = dead.position if dead else base_of(path)
            assert (told.epoch, told.offset) == place
            assert told.bytes == (dead.end_offset - dead.offset if dead else 128)
            end = find_journal_end(journal)
            assert end.next_epoch == 2
            assert end.last == found[-1]
            if bit % 8 == bit // 8 % 8:
                epoch, again = go_on(journal, tmp_path / "positions")
                assert (epoch, again) == (2, found)
        path.write_bytes(content)


def test_every_file_cut_at_every_byte_loses_nothing_before_the_cut(small, tmp_path):
    journal, blocks, files = small
    for path, content in files.items():
        for size in range(len(content)):
            path.write_bytes(content[:size])
            gone = range(size, len(content)) if path.suffix == ".seg" else ()
            dead = {id(hit_block(blocks, path, at)) for at in gone}
            alive = [block for block in blocks if id(block) not in dead]
            assert read(journal)[0] == alive, (path.name, size)
            assert go_on(journal, tmp_path / "positions") == (2, alive)
            # Who had read everything stands where the new start is behind him.
            assert read(journal, blocks[-1].end)[0] == []
        path.write_bytes(content)


def test_a_damaged_file_of_positions_is_none_or_the_one_that_was_saved(tmp_path):
    """Never another place: its reader would pass over what it never read."""
    path = tmp_path / "table.pos"
    saved = {FEED: Position(3, 123_456)}
    save_positions(path, saved, {"rows": 7}, disk=QuickDisk())
    content = path.read_bytes()
    assert load_positions(path) == (saved, {"rows": 7})
    cuts = [content[:size] for size in range(len(content))]
    for damaged in itertools.chain(cuts, flips(content)):
        path.write_bytes(damaged)
        assert load_positions(path) in (({}, {}), (saved, {"rows": 7}))


def flips(content):
    """`content` with each of its bits flipped in turn."""
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)
