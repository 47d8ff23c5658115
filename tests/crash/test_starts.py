"""A sync that fails at a start is never asked again and trusted: what it was to save is suspect."""

import errno
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its three modules, also under pytest

from power_disk import REFUSALS, Fault
from power_proof import Session, Survivor, notes
from power_states import moments

from ticktape.errors import SyncFailed
from ticktape.records import EntryKind

KILLED = [("open",), *[("append", size) for size in (40, 300, 300, 60, 5)], ("kill",)]
STARTED = [("open",), ("append", 20), ("sync",), ("append", 300), ("tick",), ("sync",)]
NEXT = [("kill",), ("open",), ("append", 10), ("sync",)]


def syncs_of_a_start(tmp_path):
    """Numbers of the calls by which a start makes durable what was left, and how many files."""
    (tmp_path / "plain").mkdir()
    session = Session(tmp_path / "plain", segment_bytes=500).run(KILLED)
    first = len(session.disk.names)
    session.run(STARTED[:1]).end()
    names = session.disk.names
    end = names.index("create", first)  # the manifest, or the new segment
    kinds = REFUSALS["any sync fails"][0]
    found = [at for at in range(first, end) if names[at] in kinds]
    assert [names[at] for at in found] == ["sync", "sync", "sync", "sync_directory"]
    return found


def refused_at(root, first, count=1):
    """A session whose start meets refusals; it goes on, and starts once more after a kill."""
    root.mkdir()
    kinds, error, _ = REFUSALS["any sync fails"]
    fault = Fault(frozenset(kinds), first, first + count, error)
    session = Session(root, "group", fault, segment_bytes=500)
    return session.run([*KILLED, *STARTED, *NEXT]).end()


@pytest.mark.parametrize("place", [0, 2, 3])
def test_what_a_failed_sync_at_a_start_was_to_save_is_suspect_and_told_first(tmp_path, place):
    """The disk drops what it failed to sync, says yes from then on, and loses its power."""
    first = syncs_of_a_start(tmp_path)[place]
    session = refused_at(tmp_path / "refused", first)

    assert session.refused_starts == 0, "capture goes on"
    assert any(isinstance(each, SyncFailed) for each in session.troubles)
    refused = [each.file for each in session.disk.calls if each.kind == "sync failed"]
    last = {each.file: each.kind for each in session.disk.calls if "sync" in each.kind}
    assert all(last[file] == "sync failed" for file in refused), "synced again"
    known = session.blocks()
    blocks = [known[position] for position in sorted(known)]
    told = [each["suspect"] for each in notes(blocks, EntryKind.NOTE)]
    of_first = [block for block in blocks if block.epoch == 0]
    covered = [
        any(each["from_offset"] <= block.offset < each["to_offset"] for each in told)
        for block in of_first
    ]
    assert any(covered) and all(each["epoch"] == 0 for each in told)
    assert all(covered) or place < 3, "without its names, all of the epoch is suspect"
    assert next(block for block in blocks if block.epoch == 1).recv_ns == of_first[-1].recv_ns
    at, _ = session.disk.seen[first]
    for moment in moments(session.disk, random.Random(1), first=at, least_and_most=True):
        Survivor(session, moment, tmp_path, known).prove()


def test_several_that_fail_are_each_told(tmp_path):
    first, *_, last = syncs_of_a_start(tmp_path)
    session = refused_at(tmp_path / "refused", first, count=last + 1 - first)
    known = session.blocks()
    told = notes([known[position] for position in sorted(known)], EntryKind.NOTE)
    assert len(told) == 3 and all(each["suspect"]["epoch"] == 0 for each in told)


def test_a_file_that_cannot_be_opened_refuses_the_start_and_the_next_one_is_as_if_nothing_was(
    tmp_path,
):
    root = tmp_path / "root"
    root.mkdir()
    fault = Fault(frozenset({"open"}), 0, 1 << 60, errno.EACCES)
    session = Session(root, "group", fault, segment_bytes=500)
    session.run([*KILLED, ("open",)])
    assert session.refused_starts == 1
    session.disk.healing = True
    session.run(STARTED).end()
    assert notes(session.blocks().values(), EntryKind.NOTE) == []
