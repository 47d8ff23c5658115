"""The bytes of a segment: what is packed is what is read, and what is not true is refused."""

import random

import pytest

from ticktape.errors import Corrupt
from ticktape.journal.blocks import BadBlock, parse_blocks, parse_lone
from ticktape.journal.format import (
    SegmentHeader,
    pack_block,
    pack_body,
    pack_payloads,
    pack_pieces,
    parse_segment_name,
    segment_name,
    unpack_segment_header,
)

NONCE = b"\x01nonce\xff\x00"
HEADER = SegmentHeader(NONCE, 7, 1 << 40, 99, 1_381_262_340_000_000_000, 55, b"b" * 16, b"j" * 16)


def test_a_segment_header_is_read_as_it_was_packed(tmp_path):
    packed = HEADER.pack()
    assert len(packed) == 128
    assert unpack_segment_header(packed + b"more", tmp_path) == HEADER


@pytest.mark.parametrize("place", range(128))
def test_every_flipped_byte_of_a_segment_header_is_noticed(tmp_path, place):
    packed = bytearray(HEADER.pack())
    packed[place] ^= 1
    with pytest.raises(Corrupt):
        unpack_segment_header(bytes(packed), tmp_path)


@pytest.mark.parametrize("size", [0, 1, 64, 127])
def test_a_short_segment_header_is_corrupt(tmp_path, size):
    with pytest.raises(Corrupt, match=f"only {size} bytes"):
        unpack_segment_header(HEADER.pack()[:size], tmp_path)


def test_names_go_both_ways_and_strangers_are_no_segments():
    assert segment_name(3, 12345) == "000003-00000000000000012345.seg"
    for epoch, base in ((0, 0), (3, 12345), (1_000_000, 10**19)):
        assert parse_segment_name(segment_name(epoch, base)) == (epoch, base)
        assert parse_segment_name(segment_name(epoch, base) + ".zst") == (epoch, base)
    for name in (
        "writer.lock",
        "000003-00000000000000012345.seg.zst.new",
        "000003-00000000000000012345.manifest.json",
        "000003.seg",
        "-1-5.seg",
        "a-b.seg",
        "²-٣.seg",  # digits, but not ours
        ".seg",
        "",
    ):
        assert parse_segment_name(name) is None


@pytest.mark.parametrize("payloads", [[b""], [b"x"], [b"", b"", b""], [b"a" * 300, b"", b"b"]])
@pytest.mark.parametrize("kinds", [None, [15, 0, 3]])
@pytest.mark.parametrize("kind", [0, 1, 15])
def test_a_block_is_read_as_it_was_packed(payloads, kinds, kind):
    kinds = kinds and kinds[: len(payloads)]
    body = pack_body(payloads, kind, kinds)
    packed = pack_block(NONCE, 4096, 1 << 50, 10, 20, len(payloads), 7, body)
    [block], bad = parse_blocks(packed, 2, 4096, NONCE)
    assert bad is None
    assert block.entries() == list(zip(kinds or [kind] * len(payloads), payloads, strict=True))
    assert (block.epoch, block.offset, block.end_offset) == (2, 4096, 4096 + len(packed))
    assert (block.seq, block.count, block.next_seq) == (
        1 << 50,
        len(payloads),
        (1 << 50) + len(payloads),
    )
    assert (block.recv_ns, block.recv_mono_ns, block.session) == (10, 20, 7)


@pytest.mark.parametrize("size", [0, 1, 140, 16_379, 16_380, 16_381, 70_000])
@pytest.mark.parametrize("kind", [0, 2, 15])
def test_a_lone_payload_makes_the_bytes_that_any_block_of_it_has(size, kind):
    """The quick way goes to the size from which a body is a piece of its own."""
    payload = random.Random(size).randbytes(size)
    head = (NONCE, (1 << 62) + size, 1 << 50, 10, 20)
    alone = pack_payloads(*head, 1 << 31, [payload], kind, None)
    named = pack_payloads(*head, 1 << 31, [payload], 0, [kind])
    body = pack_body([payload], 0, [kind])
    assert alone == named == pack_pieces(*head, 1, 1 << 31, body)
    assert bool(alone[1]) == (size >= 16_380)


def test_payloads_are_packed_as_their_body_is():
    choice = random.Random(8)
    head = (NONCE, 4096, 7, 10, 20)
    for count in range(1, 6):
        payloads = [choice.randbytes(choice.randrange(200)) for _ in range(count)]
        kinds = [choice.randrange(16) for _ in range(count)]
        for said in (None, kinds):
            packed = pack_payloads(*head, 3, payloads, 1, said)
            assert packed == pack_pieces(*head, count, 3, pack_body(payloads, 1, said))


@pytest.mark.parametrize("count", [1, 2])
def test_a_chunk_is_a_lone_block_only_when_it_is_all_of_one_and_true(count):
    body = pack_body([b"x" * 40] * count, 0, None)
    packed = pack_block(NONCE, 500, 3, 4, 5, count, 6, body)
    assert [parse_lone(packed, 2, 500, NONCE)] == parse_blocks(packed, 2, 500, NONCE)[0]
    for size in range(len(packed)):
        assert parse_lone(packed[:size], 2, 500, NONCE) is None
    assert parse_lone(packed + b"x", 2, 500, NONCE) is None
    assert parse_lone(packed + packed, 2, 500, NONCE) is None
    assert parse_lone(packed, 2, 501, NONCE) is None
    assert parse_lone(packed, 2, 500, b"87654321") is None
    for at in range(len(packed)):
        flipped = bytearray(packed)
        flipped[at] ^= 1
        assert parse_lone(bytes(flipped), 2, 500, NONCE) is None


def test_a_chunk_that_ends_within_a_block_says_how_much_it_needs():
    body = pack_body([b"x" * 100], 0, None)
    packed = pack_block(NONCE, 0, 0, 0, 0, 1, 0, body)
    for size in range(1, len(packed)):
        blocks, bad = parse_blocks(packed[:size], 0, 0, NONCE)
        assert blocks == []
        assert bad.short
        assert bad.need_bytes == (64 if size < 64 else len(packed))
    assert parse_blocks(b"", 0, 0, NONCE) == ([], None)


def test_a_block_is_true_only_in_its_own_place_and_segment():
    packed = pack_block(NONCE, 500, 0, 0, 0, 1, 0, pack_body([b"x"], 0, None))
    no_block = BadBlock(None, short=False, need_bytes=0)
    assert parse_blocks(packed, 0, 501, NONCE) == ([], no_block)
    assert parse_blocks(packed, 0, 500, b"\x00" * 8) == ([], no_block)


def test_entry_records_carry_the_stamps_of_their_block():
    packed = pack_block(NONCE, 0, 40, 1, 2, 2, 3, pack_body([b"a", b"b"], 1, None))
    [block], _ = parse_blocks(packed, 0, 0, NONCE)
    assert block.entry_records() == [(40, 1, b"a", 1, 2, 3), (41, 1, b"b", 1, 2, 3)]
    assert (block.position, block.end) == ((0, 0), (0, len(packed)))
