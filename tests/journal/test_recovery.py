"""What a new start finds of the old ones, and what it leaves as it was."""

import zlib

import msgspec
import pytest

from ticktape.journal import recovery
from ticktape.journal.format import BLOCK_HEADER_BYTES
from ticktape.journal.recovery import find_end, find_journal_end
from ticktape.journal.segments import list_segments
from ticktape.records import Position

TAILS = {
    "in the header": lambda block: block[:30],
    "just the header": lambda block: block[:BLOCK_HEADER_BYTES],
    "in the body": lambda block: block[:-5],
    "zeros, as power loss leaves them": lambda block: bytes(len(block)),
    "a whole header and zeros": lambda block: block[:BLOCK_HEADER_BYTES] + bytes(4096),
    "garbage": lambda block: bytes(range(256)) * 5,
    "garbage with the nonce in it": lambda block: b"???" + block[:8] * 12,
}


def last_block_bytes(journal):
    """The bytes of the last block of the newest segment, and the segment's path."""
    segment = list_segments(journal.directory)[-1]
    block = find_end(segment).last
    content = segment.path.read_bytes()
    return content[block.offset - segment.base : block.end_offset - segment.base], segment.path


def manifests(journal):
    return [
        msgspec.json.decode(path.read_bytes())
        for path in sorted(journal.directory.glob("*.manifest.json"))
    ]


def test_an_empty_folder_has_no_end(tmp_path):
    assert find_journal_end(tmp_path) == (0, 0, None, None, None, None)
    assert find_journal_end(tmp_path / "none") == (0, 0, None, None, None, None)


@pytest.mark.parametrize("tail", TAILS)
def test_a_torn_end_stays_as_it_is_and_a_manifest_says_how_long(journal, tail):
    journal.open()
    for size in (10, 2000, 30):
        journal.append(size, size)
    block, path = last_block_bytes(journal)
    journal.kill()
    # The third block is as far there as it would be had the writer died in it.
    torn = TAILS[tail](block)
    content = path.read_bytes()[: -len(block)]
    path.write_bytes(content + torn)
    told = len(torn) >= BLOCK_HEADER_BYTES and torn[:64] == block[:64]
    journal.lost = {4, 5}

    writer = journal.open()
    assert path.read_bytes() == content + torn
    assert writer.recovered.last.seq == 2
    # Two entries had numbers if the header says so; otherwise nobody can have seen any.
    assert writer.next_seq == (6 if told else 4)
    assert manifests(journal) == [
        {
            "segment": path.name,
            "end_offset": len(content),
            "next_seq": writer.next_seq,
            "torn_bytes": len(torn),
            "torn_entries": 2 if told else None,
        }
    ]
    _, reader = journal.read()
    [damage] = reader.damage
    assert (damage.epoch, damage.offset, damage.bytes) == (0, len(content), len(torn))
    assert damage.torn
    assert damage.entries == (2 if told else None)
    journal.expected = journal.expected[:4]
    journal.lost = set()
    journal.append(5)


def test_a_clean_end_is_in_the_manifest_too_and_is_written_once(journal):
    for _ in range(3):
        with journal.open():
            journal.append(10)
    assert [manifest["torn_bytes"] for manifest in manifests(journal)] == [0, 0]
    assert [manifest["next_seq"] for manifest in manifests(journal)] == [1, 2]


def test_the_end_is_found_without_reading_the_rest(journal, monkeypatch):
    journal.open()
    journal.append(6_000_000)
    journal.append(10)
    journal.kill()
    segment = list_segments(journal.directory)[0]
    looked = []
    real = recovery._last_in
    monkeypatch.setattr(
        recovery, "_last_in", lambda chunk, *rest: looked.append(len(chunk)) or real(chunk, *rest)
    )
    assert find_end(segment).last.seq == 1
    assert looked == [1 << 20]


def test_a_last_block_larger_than_one_look_is_found(journal):
    journal.open()
    journal.append(10)
    journal.append(9_000_000)
    journal.kill()
    assert journal.open().recovered.last.seq == 1


def test_several_torn_blocks_at_the_end_are_all_counted(journal):
    """Blocks that the disk reordered: the last two headers are there, their bodies are not."""
    journal.open()
    for _ in range(4):
        journal.append(50, 50, 50)
    journal.kill()
    segment = list_segments(journal.directory)[0]
    content = bytearray(segment.path.read_bytes())
    blocks = journal.read()[0]
    for block in blocks[2:]:
        content[block.offset + BLOCK_HEADER_BYTES : block.end_offset] = bytes(len(block.body))
    segment.path.write_bytes(content)
    end = find_end(segment)
    assert (end.next_seq, end.torn_entries) == (12, 6)
    assert end.torn_bytes == blocks[3].end_offset - blocks[2].offset
    journal.expected = journal.expected[:6]
    journal.open()
    assert journal.append(1) == 12


def test_a_torn_first_block_is_counted_like_any_other(journal):
    journal.open()
    journal.append(10, 10)
    journal.kill()
    segment = list_segments(journal.directory)[0]
    segment.path.write_bytes(segment.path.read_bytes()[:-1])
    journal.expected = []
    journal.open()
    assert journal.append(1) == 2
    assert [damage.entries for damage in journal.read()[1].damage] == [2]


@pytest.mark.parametrize("size", [0, 1, 127, 128])
def test_a_last_segment_without_block_or_header_is_no_obstacle(journal, size):
    journal.open()
    journal.append(10, 10)
    journal.writer.close()
    journal.open()
    journal.kill()
    newest = journal.segments()[-1]
    newest.write_bytes(newest.read_bytes()[:size])
    writer = journal.open()
    assert (writer.epoch, writer.next_seq) == (2, 2)
    assert writer.recovered.last.seq == 0
    journal.append(1)
    assert len(journal.entries()[0]) == 3
    assert writer.journal_id == list_segments(journal.directory)[0].header().journal_id


def test_a_damaged_segment_header_costs_no_number(journal):
    journal.open()
    journal.append(10, 10)
    journal.kill()
    path = journal.segments()[0]
    content = bytearray(path.read_bytes())
    content[20] ^= 0xFF  # in the nonce
    path.write_bytes(content)
    writer = journal.open()
    assert writer.next_seq == 2
    assert writer.recovered.last.seq == 0


def test_the_journals_id_is_kept_over_damaged_headers(journal):
    for _ in range(4):
        with journal.open():
            if journal.writer.epoch < 3:
                journal.append(10)
    for path in journal.segments()[:3]:
        content = bytearray(path.read_bytes())
        content[90] ^= 1
        path.write_bytes(content)
    journal_id = journal.writer.journal_id
    assert journal.open().journal_id == journal_id


def test_a_segment_of_a_later_version_is_not_guessed_at(journal):
    journal.open()
    journal.append(10)
    journal.kill()
    path = journal.segments()[0]
    content = bytearray(path.read_bytes())
    content[8] = 2
    content[124:128] = zlib.crc32(content[:124]).to_bytes(4, "little")
    path.write_bytes(content)
    journal.lost = {0}
    writer = journal.open()
    assert (writer.epoch, writer.next_seq) == (1, 0)
    _, reader = journal.read()
    assert [(damage.offset, damage.entries) for damage in reader.damage][-1] == (128, None)


def power_cut(journal, target, surviving):
    journal.kill()
    journal.disk.copy_what_power_loss_leaves(journal.root, target, surviving)
    return target


@pytest.mark.parametrize(
    "surviving",
    [
        lambda synced, size: synced,
        lambda synced, size: min(size, synced + 40),
        lambda synced, size: min(size, synced + 100),
        lambda synced, size: size,
    ],
    ids=["nothing more", "half a header", "half a block", "all bytes, not all names"],
)
@pytest.mark.parametrize("blocks", range(7))
def test_power_loss_takes_nothing_synced_and_no_position_is_used_twice(
    journal, tmp_path_factory, blocks, surviving
):
    """The cut comes after each number of blocks; the sync was before the last two."""
    writer = journal.open(segment_bytes=400)
    used = set()
    for number in range(blocks):
        if number == blocks - 2:
            writer.sync()
        journal.append(60, 60)
        used.add((writer.epoch, writer.offset))
    synced = writer.positions.statistics()
    target = power_cut(journal, tmp_path_factory.mktemp("after") / "root", surviving)

    survivor = type(journal)(target)
    survivor.open(segment_bytes=400)
    found = survivor.entries()[0]
    assert found == journal.expected[: len(found)]
    assert len(found) >= synced.synced_seq
    survivor.expected = list(found)
    survivor.append(60)
    blocks_now = survivor.read()[0]
    mine = {(block.epoch, block.end_offset) for block in blocks_now if block.epoch > 0}
    assert mine and not mine & used
    # A reader that had read all of it moves on, and lists what it had read in vain.
    old = [each for each in list_segments(survivor.directory) if each.epoch == 0][-1]
    in_vain = writer.offset - old.base - old.size_bytes()
    with survivor.reader(Position(0, writer.offset), files=False) as reader:
        assert [block.epoch for block in reader.read()] == [1]
        assert [damage.bytes for damage in reader.damage] == ([in_vain] if in_vain else [])
    survivor.check()


def test_power_loss_between_start_and_first_block_does_not_give_the_epoch_again(
    journal, tmp_path_factory
):
    journal.open()
    target = power_cut(journal, tmp_path_factory.mktemp("after") / "root", lambda synced, _: synced)
    survivor = type(journal)(target)
    assert survivor.open().epoch == 1
    survivor.check()
