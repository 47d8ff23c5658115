"""Damage costs the damaged block, is reported with its place, and can be forged by no payload."""

import itertools
import zlib

import pytest

from ticktape.journal import reader as reader_module
from ticktape.journal.blocks import Block, TrueHeader, parse_blocks, resync
from ticktape.journal.damage import Damage, DamageList
from ticktape.journal.format import BLOCK_HEADER_BYTES, pack_block, pack_body
from ticktape.journal.segments import list_segments


def flip(path, *places):
    content = bytearray(path.read_bytes())
    for place in places:
        content[place] ^= 0x10
    path.write_bytes(content)


def seqs(blocks):
    return [block.seq for block in blocks]


@pytest.fixture
def five(journal):
    """A journal of five blocks of three entries in one segment, its blocks, and the file."""
    journal.open()
    for _ in range(5):
        journal.append(40, 0, 200)
    journal.writer.close()
    return journal, journal.read()[0], journal.segments()[0]


@pytest.mark.parametrize("hit", range(5))
@pytest.mark.parametrize("part", ["nonce", "offset", "seq", "crc", "first byte", "last byte"])
def test_a_flipped_byte_costs_its_block_and_is_counted(five, hit, part):
    journal, blocks, path = five
    block = blocks[hit]
    place = {
        "nonce": block.offset,
        "offset": block.offset + 8,
        "seq": block.offset + 16,
        "crc": block.offset + 60,
        "first byte": block.offset + BLOCK_HEADER_BYTES,
        "last byte": block.end_offset - 1,
    }[part]
    flip(path, place)
    journal.lost = set(range(3 * hit, 3 * hit + 3))
    found, reader = journal.read()
    assert found == blocks[:hit] + blocks[hit + 1 :]
    [damage] = reader.damage
    assert (damage.epoch, damage.offset) == (0, block.offset)
    assert damage.bytes == block.end_offset - block.offset
    # Behind the last block there is nothing that could tell, and before the first one neither.
    in_header = "byte" not in part
    assert damage.entries == (None if in_header and hit in (0, 4) else 3)
    assert str(damage).startswith("torn end" if hit == 4 else "damaged block")


@pytest.mark.parametrize("parts", itertools.product(["header", "body"], repeat=2))
def test_two_damaged_blocks_in_a_row_are_both_counted(five, parts):
    journal, blocks, path = five
    for block, part in zip(blocks[1:3], parts, strict=True):
        flip(path, block.offset if part == "header" else block.end_offset - 1)
    journal.lost = set(range(3, 9))
    found, reader = journal.read()
    assert found == blocks[:1] + blocks[3:]
    assert sum(damage.entries for damage in reader.damage) == 6
    assert sum(damage.bytes for damage in reader.damage) == 2 * len(path.read_bytes()[128:]) // 5


def test_numbers_that_nobody_can_know_of_are_given_again(five):
    """The last block's header is damaged: no writer can tell that there were numbers in it."""
    journal, blocks, path = five
    flip(path, blocks[4].offset)
    journal.expected = journal.expected[:12]
    journal.open()
    assert journal.append(1) == 12
    found, reader = journal.read()
    assert seqs(found) == [0, 3, 6, 9, 12]
    assert [damage.entries for damage in reader.damage] == [None]


def test_a_damaged_block_at_the_end_of_a_segment_is_counted_by_the_next(journal):
    journal.open(segment_bytes=500)
    for _ in range(4):
        journal.append(100, 100)
    first, second = list_segments(journal.directory)[:2]
    end = first.base + first.size_bytes()
    last = next(block for block in journal.read()[0] if block.end_offset == end)
    flip(first.path, last.offset)
    journal.lost = {last.seq, last.seq + 1}
    _, reader = journal.read()
    assert [tuple(damage) for damage in reader.damage] == [
        (0, last.offset, end - last.offset, 2, True)
    ]
    assert second.header().first_seq == last.seq + 2


def test_damage_in_the_live_segment_does_not_stop_its_reader(journal):
    journal.open()
    with journal.reader(files=False) as reader:
        for number in range(6):
            journal.append(50)
            if number % 2:
                flip(journal.segments()[0], journal.writer.offset - 1)
        journal.lost = {1, 3, 5}
        assert seqs(reader.read() + reader.read() + reader.read()) == [0, 2, 4]
        assert reader.read() == []
        journal.append(50)
        assert seqs(reader.read()) == [6]
        assert [damage.entries for damage in reader.damage] == [1, 1, 1]


@pytest.mark.parametrize("place", [0, 8, 12, 20, 24, 32, 40, 60, 127])
def test_a_damaged_segment_header_costs_no_block(five, place):
    journal, blocks, path = five
    flip(path, place)
    found, reader = journal.read()
    assert found == blocks
    assert [tuple(damage) for damage in reader.damage] == [(0, 0, 128, 0, False)]
    later, reader = journal.read(blocks[2].position)
    assert later == blocks[2:]
    assert reader.damage == []


@pytest.mark.parametrize("place", [0, 20], ids=["its nonce", "its number"])
def test_segment_header_and_first_block_may_both_be_damaged(five, place):
    journal, blocks, path = five
    flip(path, 40, blocks[0].offset + place)
    journal.lost = {0, 1, 2}
    found, reader = journal.read()
    assert found == blocks[1:]
    assert [(each.bytes, each.entries) for each in reader.damage] == [
        (128, 0),
        (blocks[0].end_offset - 128, None),
    ]


def test_a_segment_of_which_nothing_can_be_known_costs_only_itself(journal):
    for _ in range(3):
        with journal.open():
            journal.append(30, 30)
    path = journal.segments()[1]
    path.write_bytes(bytes(path.stat().st_size))
    journal.lost = {2, 3}
    found, reader = journal.read()
    assert seqs(found) == [0, 4]
    assert sum(damage.bytes for damage in reader.damage) == path.stat().st_size
    assert sum(damage.entries for damage in reader.damage) == 2


def test_bytes_after_the_end_of_a_finished_segment_are_listed(five):
    journal, blocks, path = five
    with open(path, "ab") as target:
        target.write(b"x" * 5000)
    found, reader = journal.read()
    assert found == blocks
    assert [(each.offset, each.bytes) for each in reader.damage] == [(blocks[-1].end_offset, 5000)]


def test_damage_longer_than_a_look_is_passed_in_several(five, monkeypatch):
    journal, blocks, path = five
    for looked in (BLOCK_HEADER_BYTES, 65, 100, 333):
        monkeypatch.setattr(reader_module, "_RESYNC_BYTES", looked)
        content = bytearray(path.read_bytes())
        content[blocks[1].offset : blocks[3].offset] = bytes(blocks[3].offset - blocks[1].offset)
        path.write_bytes(content)
        journal.lost = set(range(3, 9))
        found, reader = journal.read()
        assert found == blocks[:1] + blocks[3:]
        assert [damage.entries for damage in reader.damage] == [6]


# What a payload may hold.


def forged(nonce, offset, seq):
    """A whole block that would be true at `offset`."""
    return pack_block(nonce, offset, seq, 1, 2, 1, 0, pack_body([b"forged"], 0, None))


def test_a_payload_with_a_block_of_another_segment_is_a_payload(five):
    journal, _, path = five
    whole = path.read_bytes()
    other = type(journal)(journal.root / "other")
    other.open()
    # Its first payload begins at the offset 128 + 64 + 4: each block claims to lie where it lies.
    for _ in range(3):
        at = other.writer.offset + BLOCK_HEADER_BYTES + 4
        nonce = whole[16:24]
        other.append(forged(nonce, at, 0) + whole)
    assert len(other.read()[0]) == 3
    flip(other.segments()[0], 128 + 20)  # so that the reader has to look for the next block
    other.lost = {0}
    found, reader = other.read()
    assert seqs(found) == [1, 2]
    assert len(reader.damage) == 1
    other.check()


def test_a_nonce_alone_or_a_block_elsewhere_deceives_nobody(journal):
    """Even who knows the nonce must also hit the place, which he cannot before it is written."""
    writer = journal.open()
    nonce = writer._tail.nonce
    for shift in (-1, 1, 64, 4096):
        at = writer.offset + BLOCK_HEADER_BYTES + 4
        journal.append(nonce * 20 + forged(nonce, at + shift, 0))
    journal.append(10)
    blocks = journal.read()[0]
    for block in blocks[:-1]:
        flip(journal.segments()[0], block.offset + 30)
    journal.lost = {0, 1, 2, 3}
    assert seqs(journal.read()[0]) == [4]


def test_resync_looks_only_where_a_whole_header_is():
    block = forged(b"12345678", 1000, 0)
    chunk = b"12345678" + b"x" * 92 + block
    assert resync(chunk, 0, 900, b"12345678") == 100
    assert resync(chunk, 101, 900, b"12345678") is None
    assert resync(chunk[: 100 + BLOCK_HEADER_BYTES - 1], 0, 900, b"12345678") is None
    assert resync(chunk, 0, 901, b"12345678") is None
    assert resync(chunk, 0, 900, b"") is None


def test_flags_of_a_later_version_are_refused():
    block = bytearray(forged(b"12345678", 0, 0))
    block[52] = 1
    block[60:64] = zlib.crc32(block[:60]).to_bytes(4, "little")
    assert resync(bytes(block), 0, 0, b"12345678") is None
    assert parse_blocks(bytes(block), 0, 0, b"12345678")[0] == []


# The list of damage by itself.


def block(epoch, offset, seq, count=1):
    return Block(epoch, offset, offset + 100, seq, count, 0, 0, 0, b"")


def listed(*steps):
    found = DamageList()
    for step in steps:
        if isinstance(step, Block):
            found.resume(step, step.next_seq)
        else:
            epoch, offset, header = step
            found.pass_over(epoch, offset, 100, header, torn=False)
    return [damage.entries for damage in found.found]


def test_what_follows_tells_how_much_was_lost():
    assert listed(block(0, 0, 0), (0, 100, None), block(0, 200, 5)) == [4]
    assert listed((0, 100, None), block(0, 200, 5)) == [None]
    assert listed(block(0, 0, 0), (0, 100, None)) == [None]
    known = (0, 200, TrueHeader(7, 2, 10))
    assert listed(block(0, 0, 0), (0, 100, None), known, block(0, 300, 9)) == [6, 2]
    assert listed(block(0, 0, 0), (0, 100, None), (0, 200, None), block(0, 300, 4)) == [3, 0]
    assert listed(block(0, 0, 0), known) == [6, 2]


def test_what_was_written_again_is_not_lost_also_behind_a_loss_of_an_epoch_before():
    torn = (0, 100, TrueHeader(1, 2, 10))
    again = (1, 128, TrueHeader(3, 2, 10))
    assert listed(block(0, 0, 0), torn, again, again, block(1, 500, 3)) == [2, 0, 0]
    # A power cut took numbers that had been read: that says nothing of the damage behind it.
    assert listed(block(0, 0, 9), torn, block(1, 128, 2)) == [2]


def test_a_torn_copy_of_a_block_that_was_read_whole_is_no_loss():
    torn = (0, 300, TrueHeader(1, 2, 10))
    assert listed(block(0, 0, 0), block(0, 100, 1, 2), torn, block(1, 128, 3)) == [0]
    of_another_epoch = (1, 128, TrueHeader(1, 2, 10))
    assert listed(block(0, 0, 0), block(0, 100, 1, 2), of_another_epoch, block(1, 500, 3)) == [2]


def test_a_hole_without_damage_is_a_part_that_has_gone():
    found = DamageList()
    for each in (block(0, 0, 0), block(0, 100, 4)):
        found.resume(each, each.next_seq)
    assert found.found == [Damage(0, 100, 0, 3, torn=False)]


def test_after_a_seek_nothing_is_concluded_from_before():
    found = DamageList()
    found.resume(block(0, 0, 0), 1)
    found.forget_seq()
    found.resume(block(0, 900, 50), 51)
    assert found.found == []
