"""A sealed segment reads as the plain one did, from every position; no step of sealing loses it."""

import json
import random
from hashlib import sha256

import pytest
from filelock import FileLock

from ticktape.errors import Corrupt, Locked
from ticktape.journal import sealing as sealing_module
from ticktape.journal import segments as segments_module
from ticktape.journal.disk import Disk
from ticktape.journal.format import BLOCK_HEADER_BYTES
from ticktape.journal.reader import Reader
from ticktape.journal.recovery import find_end, find_journal_end
from ticktape.journal.sealed import FRAME_BYTES, SUSPECT, SealedFile, parse_frame
from ticktape.journal.sealing import Sealer
from ticktape.journal.segments import list_segments
from ticktape.journal.standing import find_standing
from ticktape.records import EntryKind, Position

FRAME = 700  # so that a small segment has several


def seal_all(journal, positions_path=None, **how):
    sealer = Sealer(journal.directory, positions_path, **{"frame_bytes": FRAME, **how})
    done = []
    while (each := sealer.seal_next()) is not None:
        done.append(each)
    return done


def plain_bytes(journal):
    return {each.name: each.plain_path.read_bytes() for each in list_segments(journal.directory)}


def fill(journal, rng, segments=3, epochs=2):
    """Blocks of all sizes and kinds in several segments of several epochs."""
    for _ in range(epochs):
        writer = journal.open("os", segment_bytes=2000)
        for number in range(segments * 8):
            sizes = [rng.choice([0, 1, 40, 130, 900]) for _ in range(rng.randint(1, 4))]
            kinds = [
                rng.choice([EntryKind.TEXT, EntryKind.BINARY, EntryKind.SESSION]) for _ in sizes
            ]
            journal.append(*sizes, kinds=kinds, session=number % 3)
        writer.close()


def read_from(journal, position, max_bytes=1 << 20, **how):
    found = []
    with Reader(journal.directory, None, position, **how) as reader:
        while blocks := reader.read(max_bytes):
            found += blocks
        return found, reader.damage, reader.position


@pytest.mark.parametrize("seed", range(4))
def test_a_sealed_journal_reads_as_the_plain_one_from_every_position(journal, seed):
    rng = random.Random(seed)
    fill(journal, rng)
    blocks, _, end = read_from(journal, Position(0, 0))
    starts = [b.position for b in blocks]
    starts += [Position(b.epoch, rng.randint(0, b.end_offset)) for b in blocks]
    plain = {start: read_from(journal, start) for start in starts}
    done = seal_all(journal, frame_bytes=rng.choice([1, 64, 300, FRAME, 1 << 20]))
    assert len(done) == len(list_segments(journal.directory)) > 4
    assert journal.segments() == []
    for start, expected in plain.items():
        assert read_from(journal, start, rng.choice([1, 100, 1000, 1 << 20])) == expected, start
    assert read_from(journal, end) == ([], [], end)


@pytest.mark.parametrize("seed", range(4))
def test_a_cut_or_damaged_segment_is_sealed_with_every_byte_that_it_has(journal, seed):
    rng = random.Random(seed)
    fill(journal, rng)
    for path in journal.segments():
        content = bytearray(path.read_bytes())
        for _ in range(rng.randint(0, 3)):
            content[rng.randrange(128, len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content[: rng.choice([len(content), rng.randint(128, len(content))])])
    expected, plain = read_from(journal, Position(0, 0)), plain_bytes(journal)
    ends = [find_end(each) for each in list_segments(journal.directory)]
    seal_all(journal)
    assert journal.segments() == []
    for segment in list_segments(journal.directory):
        with segment.open() as file:
            assert file.read_at(1 << 30, 0) == plain[segment.name]
            assert file.size() == segment.size_bytes() == len(plain[segment.name])
    assert read_from(journal, Position(0, 0)) == expected
    assert [find_end(each) for each in list_segments(journal.directory)] == ends
    journal.expected = journal.entries()[0]


def test_recovery_standing_and_a_new_start_see_no_difference(journal):
    fill(journal, random.Random(3))
    before = find_journal_end(journal.directory), find_standing(journal.directory, 9)
    seal_all(journal)
    assert (find_journal_end(journal.directory), find_standing(journal.directory, 9)) == before
    journal.open()
    assert journal.writer.epoch == 2
    journal.append(b"goes on")
    journal.check()


def test_only_what_is_closed_and_synced_is_sealed_while_a_writer_is_at_work(journal):
    writer = journal.open(segment_bytes=1000)
    for _ in range(4):
        journal.append(1200)
    assert len(journal.segments()) == 5
    assert seal_all(journal, journal.positions_path) == [], "nothing is synced yet"
    writer.sync()
    journal.append(1200)
    done = seal_all(journal, journal.positions_path)
    assert [each.segment for each in done] == [
        each.name for each in list_segments(journal.directory)[:4]
    ]
    assert len(journal.segments()) == 2
    journal.append(10)
    writer.sync()
    seal_all(journal, journal.positions_path)
    assert len(journal.segments()) == 1, "the newest is the writer's, synced or not"
    journal.check()
    assert seal_all(journal, journal.root / "no positions") == [], "nothing tells what is synced"


def test_a_reader_goes_on_through_a_segment_that_is_sealed_under_it(journal):
    writer = journal.open(segment_bytes=1000)
    for _ in range(12):
        journal.append(300)
    writer.sync()
    expected = journal.read()[0]
    with journal.reader(files=False) as hot, journal.reader() as cold:
        found = [*hot.read(1), *cold.read(1)]
        assert seal_all(journal, journal.positions_path)
        for reader, start in ((hot, found[:1]), (cold, found[1:])):
            read = list(start)
            while blocks := reader.read(1):
                read += blocks
            assert read == expected
            assert reader.damage == []
    journal.check()


def test_a_segment_that_a_note_names_suspect_is_marked(journal):
    faults = iter([None, OSError(5, "lost"), *[None] * 20])
    writer = journal.open()
    journal.append(100)
    writer.sync()
    journal.disk.faults["sync"] = lambda *_: next(faults, None)
    for _ in range(3):
        journal.append(100)
        writer.sync()
    writer.close()
    first, *rest = seal_all(journal)
    assert first.suspect and rest and not any(each.suspect for each in rest)
    with SealedFile(list_segments(journal.directory)[0].path) as file:
        assert file.head.flags == SUSPECT


def test_the_manifest_names_it_and_the_hashes_are_chained(journal):
    fill(journal, random.Random(5))
    plain = plain_bytes(journal)
    done = seal_all(journal)
    link = bytes(32)
    for segment, said in zip(list_segments(journal.directory), done, strict=True):
        path = journal.directory / segment.name.replace(".seg", ".manifest.json")
        manifest = json.loads(path.read_bytes())
        content = plain[segment.name]
        named = f"{segment.name}:0-{len(content)}".encode()
        link = sha256(link + sha256(content).digest() + named).digest()
        assert manifest["sealed"] == segment.path.name == segment.name + ".zst"
        assert manifest["sha256"] == sha256(content).hexdigest()
        assert manifest["link"] == link.hex()
        assert manifest["end_offset"] == find_end(segment).end_offset
        assert (manifest["bytes"], manifest["sealed_bytes"]) == said[1:3]
        assert said.sealed_bytes == segment.disk_bytes()


@pytest.mark.parametrize("order", [sorted, lambda names: sorted(names, reverse=True)])
def test_while_both_files_are_there_the_plain_one_counts(journal, monkeypatch, order):
    fill(journal, random.Random(4), segments=1, epochs=1)
    plain = plain_bytes(journal)
    seal_all(journal)
    for name, content in plain.items():
        (journal.directory / name).write_bytes(content)
    listed = order(path.name for path in journal.directory.iterdir())
    monkeypatch.setattr(segments_module.os, "listdir", lambda _: listed)
    found = list_segments(journal.directory)
    assert len(found) == len(plain) and not any(each.is_sealed for each in found)


def test_blocks_between_which_numbers_lack_are_sealed_in_frames_of_their_own(journal):
    writer = journal.open("os")
    for number in range(6):
        writer.append([b"x" * 9], 1, 2)
        writer.next_seq += number % 2
    writer.close()
    before, plain = read_from(journal, Position(0, 0)), plain_bytes(journal)
    seal_all(journal)
    (segment,) = list_segments(journal.directory)
    with segment.open() as file:
        assert file.read_at(1 << 20, 0) == plain[segment.name]
    assert [head.blocks for _, head in frames_of(segment.path)] == [2, 2, 2]
    assert read_from(journal, Position(0, 0)) == before
    journal.expected = journal.entries()[0]


# Damage.


def frames_of(path):
    """(place, head) of every frame of a sealed file."""
    content = path.read_bytes()
    places = [at for at in range(len(content)) if parse_frame(content, at) is not None]
    return [(at, parse_frame(content, at)) for at in places]


@pytest.fixture
def sealed(journal):
    """One sealed segment of five frames: the journal, its blocks, the file."""
    journal.open("os")
    for _ in range(25):
        journal.append(40, 0, 60)
    journal.writer.close()
    blocks = journal.read()[0]
    seal_all(journal, frame_bytes=5 * (blocks[0].end_offset - blocks[0].offset))
    (segment,) = list_segments(journal.directory)
    assert len(frames_of(segment.path)) == 5
    return journal, blocks, segment.path


def test_a_flipped_bit_anywhere_costs_a_frame_at_most_and_is_counted(sealed):
    journal, blocks, path = sealed
    content = path.read_bytes()
    frames = frames_of(path)
    rng = random.Random(1)
    heads = {place + at for place, _ in frames for at in range(FRAME_BYTES)}
    for at in sorted({*range(0, len(content), 5), *heads, *range(len(content) - 20, len(content))}):
        flipped = bytearray(content)
        flipped[at] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        found, damage, _ = read_from(journal, Position(0, 0))
        hit = [
            head for place, head in frames if place <= at < place + FRAME_BYTES + head.packed_bytes
        ]
        lost = [b for b in blocks if hit and 0 <= b.offset - hit[0].offset < hit[0].plain_bytes]
        assert found == [b for b in blocks if b not in lost], at
        if lost:
            assert [(d.offset, d.bytes) for d in damage] == [(hit[0].offset, hit[0].plain_bytes)]
            entries = damage[0].entries
            assert entries == sum(b.count for b in lost) or hit[0] in (frames[0][1], frames[-1][1])
        elif at >= 256:
            assert damage == [], at  # only the index, which the frames tell again
    path.write_bytes(content)


@pytest.mark.parametrize("frame", range(5))
def test_without_an_index_the_frame_behind_a_damaged_one_is_found_again(sealed, frame):
    journal, blocks, path = sealed
    place, head = frames_of(path)[frame]
    content = bytearray(path.read_bytes())
    content[-3] ^= 1  # the index
    content[place + 9] ^= 1  # the frame's nonce
    path.write_bytes(content)
    found, damage, _ = read_from(journal, Position(0, 0))
    assert found == blocks[: 5 * frame] + blocks[5 * frame + 5 :]
    assert [(each.offset, each.bytes) for each in damage] == [(head.offset, head.plain_bytes)]
    journal.lost = {b.seq + i for b in blocks for i in range(b.count)} - {
        b.seq + i for b in found for i in range(b.count)
    }


def test_a_sealed_file_that_was_cut_gives_all_whole_frames(sealed):
    journal, blocks, path = sealed
    content = path.read_bytes()
    for size in range(0, len(content), 7):
        path.write_bytes(content[:size])
        whole = [
            head
            for place, head in frames_of(path)
            if place + FRAME_BYTES + head.packed_bytes <= size
        ]
        end = whole[-1].offset + whole[-1].plain_bytes if whole else 128
        found, _, _ = read_from(journal, Position(0, 0))
        assert found == [b for b in blocks if b.end_offset <= end]
    path.write_bytes(content)


# Crashes and refusals.


class Died(Exception):
    """The process ended here."""


def dying(monkeypatch, at):
    """Die at the `at`-th failpoint of sealing."""
    passed = []

    def pass_by(name):
        passed.append(name)
        if len(passed) == at:
            raise Died(name)

    monkeypatch.setattr(sealing_module.failpoints, "pass_by", pass_by)
    return passed


@pytest.mark.parametrize("at", range(1, 16))
def test_a_crash_at_any_step_leaves_one_that_reads_and_the_next_try_ends_it(
    journal, monkeypatch, at
):
    fill(journal, random.Random(8), segments=1, epochs=2)
    expected = read_from(journal, Position(0, 0))
    with monkeypatch.context() as patched:
        passed = dying(patched, at)
        with pytest.raises(Died):
            seal_all(journal)
    assert len(passed) == at
    assert read_from(journal, Position(0, 0)) == expected
    seal_all(journal)
    assert journal.segments() == []
    assert not list(journal.directory.glob("*.new"))
    assert read_from(journal, Position(0, 0)) == expected


class LyingDisk(Disk):
    """A disk that keeps another byte than it was given."""

    def __init__(self, number):
        self.left = number

    def create_anew(self, path):
        self._path = path
        return super().create_anew(path)

    def write(self, descriptor, chunk):
        self.left -= 1
        if self.left == 0:
            chunk = chunk[:-1] + bytes([chunk[-1] ^ 1])
        return super().write(descriptor, chunk)


@pytest.mark.parametrize("number", range(1, 6))
def test_what_does_not_read_back_as_it_was_is_not_believed(journal, number):
    fill(journal, random.Random(2), segments=1, epochs=1)
    before = plain_bytes(journal)
    with pytest.raises(Corrupt, match="other bytes than were sealed"):
        seal_all(journal, disk=LyingDisk(number))
    assert plain_bytes(journal) == before
    assert not list(journal.directory.glob("*.zst*"))
    journal.check()


def test_a_sealed_file_beside_the_plain_one_is_believed_only_when_it_is_equal(journal):
    fill(journal, random.Random(4), segments=1, epochs=1)
    expected, before = read_from(journal, Position(0, 0)), plain_bytes(journal)
    seal_all(journal)
    first = list_segments(journal.directory)[0]
    good = first.sealed_path.read_bytes()
    first.plain_path.write_bytes(before[first.name])
    first.sealed_path.write_bytes(good[:-40])  # as nothing of ours leaves one
    assert not list_segments(journal.directory)[0].is_sealed
    assert read_from(journal, Position(0, 0)) == expected
    seal_all(journal)
    assert first.sealed_path.read_bytes() == good
    assert read_from(journal, Position(0, 0)) == expected


def test_a_disk_that_refuses_leaves_the_plain_segment_and_nothing_half_made(journal):
    fill(journal, random.Random(6), segments=1, epochs=1)
    before = plain_bytes(journal)
    journal.disk.faults["write"] = lambda count, _: OSError(28, "no room") if count > 3 else None
    journal.disk.counts.clear()
    with pytest.raises(OSError, match="no room"):
        seal_all(journal, disk=journal.disk)
    assert plain_bytes(journal) == before
    assert not list(journal.directory.glob("*.new"))
    journal.disk.faults.clear()
    journal.disk.open_files = 0
    seal_all(journal)
    journal.check()


def test_one_process_at_a_time_seals_a_journal(journal):
    fill(journal, random.Random(7), segments=1, epochs=1)
    with FileLock(journal.directory / "seal.lock"), pytest.raises(Locked):
        seal_all(journal)
    journal.check()


def test_a_segment_without_a_header_is_left_as_it_is(journal):
    fill(journal, random.Random(7), segments=1, epochs=2)
    path = journal.segments()[0]
    path.write_bytes(path.read_bytes()[:100])
    done = seal_all(journal)
    assert path.exists()
    assert len(done) == len(list_segments(journal.directory)) - 1
    journal.expected = journal.entries()[0]


def test_one_large_block_is_one_frame(journal):
    journal.open("os")
    journal.append(3_000_000)
    journal.writer.close()
    seal_all(journal, frame_bytes=1 << 20)
    (segment,) = list_segments(journal.directory)
    (frame,) = (head for _, head in frames_of(segment.path))
    assert frame.plain_bytes == 3_000_000 + BLOCK_HEADER_BYTES + 4
    journal.check()


def test_blocks_survive_packing_whatever_their_stamps(journal):
    writer = journal.open("os")
    top = (1 << 64) - 1
    for recv_ns, mono_ns in ((0, top), (top, 0), (5, 5), (top // 2, top - 7)):
        writer.append([b"x" * 9], recv_ns, mono_ns, (1 << 32) - 1)
    writer.close()
    before = read_from(journal, Position(0, 0))
    seal_all(journal)
    assert read_from(journal, Position(0, 0)) == before
    journal.expected = journal.entries()[0]
