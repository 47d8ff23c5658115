"""The upkeep of a run: sealed and deleted while it records, and complete all the same."""

import threading

import pytest

from ticktape.config import JournalConfig
from ticktape.directory import RunDirectory
from ticktape.journal.segments import list_segments
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.recorder import room as room_module
from ticktape.recorder import upkeep_child
from ticktape.recorder.task import UpkeepTask

ROWS = 12_000  # of a pass: it plays on until there was enough to seal and to delete


class FakeParent:
    """A parent whose word to leave comes when its child has said how it stands so many times."""

    def __init__(self, rounds=1):
        self.leave = threading.Event()
        self.orphaned = False
        self.told = []
        self._left = rounds

    def listen(self, on_leave=None, *, orphan_s=0.0):
        pass

    def tell(self, event, **content):
        self.told.append((event, content))
        if event == "statistics":
            self._left -= 1
            if not self._left:
                self.leave.set()

    def words(self, event):
        return [content["words"] for name, content in self.told if name == event]


@pytest.fixture
def at_work(tmp_path):
    """A run of one feed whose writer is at work: five segments are closed and synced."""
    directory = RunDirectory(tmp_path / "tape")
    config = WriterConfig("each", segment_bytes=2000)
    with Writer(directory.journal("sip"), directory.positions("sip"), config) as writer:
        for number in range(10):
            writer.append([bytes(900)], 10**18 + number, 1)
        yield directory


def look_after(directory, parent, journals=("sip",), **config):
    task = UpkeepTask(
        "run", str(directory.root), list(journals), ["sip"], [], JournalConfig(**config)
    )
    assert upkeep_child.main(task, parent) == 0
    return dict(parent.told[-1][1])


def test_what_is_closed_is_sealed_and_what_is_written_is_not(at_work):
    parent = FakeParent()
    said = look_after(at_work, parent, ["sip", "not yet there"], reserve_bytes=0)
    segments = list_segments(at_work.journal("sip"))
    assert [each.is_sealed for each in segments] == [True] * 5 + [False]
    assert said["sealed_segments"] == 5
    assert said["sealed_from_bytes"] > said["sealed_to_bytes"] > 0
    assert [name for name, _ in parent.told] == ["statistics"]


def test_sealing_waits_for_room_and_says_so(at_work, monkeypatch):
    free = [5]
    monkeypatch.setattr(room_module, "disk_free_bytes", lambda _: free[0])
    parent = FakeParent()
    said = look_after(at_work, parent, reserve_bytes=10)
    assert said["sealed_segments"] == 0
    (words,) = parent.words("trouble")
    assert words.startswith("sealing waits until the disk has reserve_bytes")
    free[0] = 10**9
    assert look_after(at_work, FakeParent(), reserve_bytes=10)["sealed_segments"] == 5


def test_a_word_to_leave_ends_a_segment_half_way_and_leaves_nothing(at_work, monkeypatch):
    parent = FakeParent()
    real = upkeep_child.UpkeepChild._go_on

    def leave_within(self, done):
        parent.leave.set()
        real(self, done)

    monkeypatch.setattr(upkeep_child.UpkeepChild, "_go_on", leave_within)
    said = look_after(at_work, parent, reserve_bytes=0)
    assert said["sealed_segments"] == 0
    assert not list(at_work.journal("sip").glob("*.zst*"))


def test_a_refusing_disk_is_said_once_and_the_journal_is_left_alone_for_a_while(
    at_work, monkeypatch
):
    def refuse(*_):
        raise OSError(28, "no room")

    monkeypatch.setattr(upkeep_child.Sealer, "seal_next", refuse)
    monkeypatch.setattr(upkeep_child, "_LOOK_S", 0.0)
    parent = FakeParent(rounds=3)
    look_after(at_work, parent, reserve_bytes=0)
    (words,) = parent.words("trouble")
    assert words.startswith("sealing sip: the disk has no room")


def _done(made, what):
    return made.supervisor.statistics().get("upkeep", {}).get(what, 0)


def test_a_run_is_sealed_and_trimmed_while_it_records_and_is_complete(
    venue, configured, recording, proven, tmp_path
):
    truth = tmp_path / "truth"
    source = venue(
        *("--tape", "generated", "--events", str(ROWS), "--rate", "1000", "--passes", "0"),
        *("--truth", str(truth)),
    )
    more = (
        "[journal]\nsegment_bytes = 65536\nreserve_bytes = 0\nkeep_bytes = 120000\n"
        "[table]\ncommit_s = 0.3"
    )
    config = configured(tmp_path / "tape", {"sip": source.url()}, more=more)
    with recording(config) as made:
        made.until(lambda: _done(made, "sealed_segments") > 3, "it seals")
        # The ledger lets go of a minute when it is over.
        made.until(lambda: _done(made, "deleted_segments") > 1, "it deletes")
        made.end = made.stop()
    assert made.end.reasons() == [] and made.end.restarts == {}
    assert made.words("deleted", "upkeep")
    verdict = proven(made.directory.root, tmp_path)
    (sip,) = verdict.feeds
    assert verdict.reasons() == []
    assert sip.total("received") == sip.total("stored") == source.end(truth)
    assert sip.deleted[0].first_seq == 0
    assert any(each.is_sealed for each in list_segments(made.directory.journal("sip")))
