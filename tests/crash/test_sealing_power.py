"""Cut the power after every call of a sealing, let the disk refuse each: nothing is lost."""

import contextlib
import random
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its modules, also under pytest

from power_disk import REFUSALS, Fault, PowerDisk, QuickDisk
from power_proof import Session, read
from power_states import moments, put

from ticktape.errors import Corrupt
from ticktape.journal.sealing import Sealer
from ticktape.journal.segments import list_segments

FRAME = 800
STEPS = [
    ("open",),
    ("append", 6, 0, 400),
    ("append", 700),
    ("append", 1200),
    ("close",),
    ("open",),
    ("append", 1, 1, 1),
    ("append", 900),
    ("close",),
]


def seal(journal, disk):
    sealer = Sealer(journal, None, disk=disk, frame_bytes=FRAME)
    count = 0
    while sealer.seal_next() is not None:
        count += 1
    return count


@pytest.fixture
def recorded(tmp_path):
    """A journal of a few plain segments: (root, its folder, its blocks)."""
    root = tmp_path / "disk"
    root.mkdir()
    session = Session(root, segment_bytes=900).run(STEPS).end()
    (session.journal / "writer.lock").unlink(missing_ok=True)
    blocks, damage = read(session.journal)
    assert damage == [] and len(list_segments(session.journal)) == 5
    return root, session.journal, blocks


def test_whatever_a_power_cut_leaves_of_a_sealing_reads_as_before(recorded, tmp_path):
    root, journal, blocks = recorded
    disk = PowerDisk(root)
    assert seal(journal, disk) == 5
    place = tmp_path / "left"
    count = 0
    for moment in moments(disk, random.Random(1)):
        count += 1
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        put(moment.tree, place)
        left = place / journal.relative_to(root)
        done = disk.calls[moment.calls - 1] if moment.calls else "the start"
        assert read(left) == (blocks, []), f"cut after call {moment.calls} ({done})"
        if count % 10 == 0:  # and the next try ends it
            seal(left, QuickDisk())
            assert read(left) == (blocks, [])
            assert all(each.is_sealed for each in list_segments(left))
            assert not [each for each in left.iterdir() if each.name.endswith((".new", ".seg"))]
    assert count > 100


@pytest.mark.parametrize("name", REFUSALS)
def test_a_disk_that_refuses_any_call_loses_nothing_and_the_next_try_ends_it(
    recorded, tmp_path, name
):
    root, journal, blocks = recorded
    kinds, error, taken = REFUSALS[name]
    first = 0
    while True:
        place = tmp_path / "again"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(root, place)
        disk, left = PowerDisk(place), place / journal.relative_to(root)
        disk.fault = Fault(frozenset(kinds), first, first + 1, error, taken)
        with contextlib.suppress(OSError, Corrupt):
            seal(left, disk)
        assert read(left) == (blocks, []), f"call {first}"
        if not disk.refused and len(disk.names) <= first:
            return
        seal(left, QuickDisk())
        assert read(left) == (blocks, [])
        assert all(each.is_sealed for each in list_segments(left))
        first += 4
