"""Refuse every call to the disk in turn: capture goes on, loudly, and nothing is lost uncounted."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its three modules, also under pytest

from power_disk import REFUSALS, Fault
from power_proof import Session, Survivor, notes, read
from power_states import moments

from ticktape.errors import SyncFailed
from ticktape.journal import format as format_module
from ticktape.journal.positions import JournalState
from ticktape.records import EntryKind

FOREVER = 1 << 60
WRITERS_OWN = {EntryKind.DROPPED, EntryKind.NOTE}
# A first start, blocks, group commits, rolls, a clean end, and a start on what that left.
STEPS = [
    ("open",),
    ("append", 40),
    ("tick",),
    ("append", 20, 0),
    ("sync",),
    ("append", 300),
    ("append", 40),
    ("tick",),
    ("sync",),
    ("append", 10),
    ("close",),
    ("open",),
    ("append", 30),
    ("tick",),
    ("append", 300),
    ("sync",),
    ("tick", 1),
    ("append", 50),
    ("append", 5),
]
MENDED = [("heal",), ("open_again",), ("append", 8), ("sync",)]


@pytest.fixture(autouse=True)
def some_blocks_are_written_in_pieces(monkeypatch):
    """As those of many kB are."""
    monkeypatch.setattr(format_module, "_PIECE_BYTES", 200)


class Refused(Session):
    """A session whose steps look, after each of them, that the refusal is told."""

    def open_again(self):
        if self.writer is None:
            self.open()

    def run(self, steps):
        for step in steps:
            super().run([step])
            if self.disk.refused and self.disk.fault.error and not self.is_excused():
                assert self.troubles, f"nobody heard of what {step} met"
        return self

    def is_excused(self):
        """Descriptors of files whose sync has said all are given back in silence."""
        return "close" in self.disk.fault.kinds


def count_calls(root, sync, **config):
    """The kinds of the calls of a session that meets no fault."""
    root.mkdir()
    session = Refused(root, sync, segment_bytes=500, **config)
    names = list(session.run(STEPS).disk.names)
    session.close()
    session.end()
    return names


def refusals(names, kinds):
    """Each call that can be refused, once and until the disk is healed."""
    for first, name in enumerate(names):
        if name in kinds:
            yield first, first + 1
            yield first, FOREVER


def prove(session):
    """All that was accepted is there once and in order; all that was not is counted."""
    blocks, _ = read(session.journal)
    records = [each for block in blocks for each in block.entry_records()]
    found = [(each.seq, each.payload) for each in records if each.kind not in WRITERS_OWN]
    assert found == sorted(dict(found).items()), "doubled, or out of order"
    kept = set(found)
    missing = [each for each in session.accepted if each not in kept]
    # Counted with them are the writer's own notes of failed syncs; and a block that was refused
    # and taken nevertheless may turn up again.
    unsure = sum(isinstance(each, SyncFailed) for each in session.troubles)
    if session.disk.fault.taken == 1:
        unsure += session.lost
    assert 0 <= session.lost - len(missing) <= unsure, "lost, and not counted"
    assert [each for each in session.accepted if each in kept] == found, "nobody wrote that"
    told = notes(blocks, EntryKind.DROPPED)
    assert sum(each["frames"] for each in told) + session.untold == (
        session.dropped[0] + session.lost
    )
    if not session.untold:
        assert sum(each["bytes"] for each in told) == session.dropped[1]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("sync", ["group", "each", "os"])
def test_every_call_in_turn_may_be_refused_once_or_until_healed(tmp_path, sync, refusal):
    kinds, error, taken = REFUSALS[refusal]
    names = count_calls(tmp_path / "plain", sync)
    for first, healed in refusals(names, kinds):
        root = tmp_path / f"{first} {healed}"
        root.mkdir()
        fault = Fault(frozenset(kinds), first, healed, error, taken)
        session = Refused(root, sync, fault, segment_bytes=500)
        session.run(STEPS)
        assert session.disk.refused
        session.run(MENDED)
        assert session.writer.state() is JournalState.OK
        assert session.writer.positions.statistics().held_bytes == 0
        session.close()
        session.end()
        prove(session)


@pytest.mark.parametrize("refusal", ["no room", "takes a part", "the disk is gone"])
def test_beyond_the_bound_every_drop_is_counted_whichever_call_was_refused_first(tmp_path, refusal):
    kinds, error, taken = REFUSALS[refusal]
    names = count_calls(tmp_path / "plain", "group", memory_bytes=250)
    dropped = 0
    for first, healed in refusals(names, kinds):
        root = tmp_path / f"{first} {healed}"
        root.mkdir()
        fault = Fault(frozenset(kinds), first, healed, error, taken)
        session = Refused(root, "group", fault, segment_bytes=500, memory_bytes=250)
        session.run([*STEPS, *MENDED]).close()
        session.end()
        prove(session)
        dropped += session.dropped[0]
    assert dropped > 10


FEW = [
    ("open",),
    ("append", 40),
    ("sync",),
    ("append", 300),
    ("append", 300),
    ("append", 40),
    ("sync",),
    ("tick",),
    ("append", 10),
    ("sync",),
    ("tick", 2),
    ("sync",),
]


@pytest.mark.parametrize("healed", [1, 5])
@pytest.mark.parametrize("sync", ["group", "each"])
def test_what_a_failed_sync_lost_is_told_on_the_disk_before_a_later_one_is_trusted(
    tmp_path, sync, healed
):
    """The disk drops what it failed to sync, says yes from then on, and loses its power."""
    kinds, error, _ = REFUSALS["any sync fails"]
    (tmp_path / "plain").mkdir()
    plain = Session(tmp_path / "plain", sync, segment_bytes=500).run(FEW).end()
    for first, name in enumerate(plain.disk.names):
        if name not in kinds:
            continue
        root = tmp_path / str(first)
        root.mkdir()
        fault = Fault(frozenset(kinds), first, first + healed, error)
        session = Session(root, sync, fault, segment_bytes=500).run(FEW).end()
        refused = [each.file for each in session.disk.calls if each.kind == "sync failed"]
        last = {each.file: each.kind for each in session.disk.calls if "sync" in each.kind}
        assert all(last[file] == "sync failed" for file in refused), "synced again"
        known = session.blocks()
        at, _ = session.disk.seen[first]
        for moment in moments(session.disk, random.Random(1), first=at, least_and_most=True):
            Survivor(session, moment, tmp_path, known).prove()
