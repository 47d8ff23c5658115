"""The process of one strategy, in this process: what it logs, when it leaves, what it loses."""

import threading

import msgspec
import pytest

from ticktape.config import DecideConfig, JournalConfig
from ticktape.decisions.log import Blocks, Start, read_logged
from ticktape.directory import RunDirectory
from ticktape.errors import EXIT_COMPLETE
from ticktape.journal import Block, Reader, Writer
from ticktape.journal.disk import Disk
from ticktape.latency import read_rows
from ticktape.latency.rowfile import RowFile
from ticktape.recorder import decide_child
from ticktape.recorder import room as room_module
from ticktape.recorder.parent import EXIT_STOPPED
from ticktape.recorder.task import DecideTask, FeedPlace
from ticktape.records import EntryKind

TRADE = b'[{"T":"t","S":"IBM","i":%d,"x":"N","p":1.5,"s":100,"t":"2026-11-20T15:00:00Z","z":"A"}]'
ECHO = "class Echo:\n    def on_trade(self, trade, last):\n        return trade.id\n"


class FakeParent:
    def __init__(self):
        self.leave = threading.Event()
        self.leave.set()
        self.orphaned = False
        self.told = []
        self.orphan_s = None

    def listen(self, on_leave=None, *, orphan_s):
        self.orphan_s = orphan_s

    def tell(self, event, **content):
        self.told.append((event, content))

    def words(self, event):
        return [content["words"] for told, content in self.told if told == event]


@pytest.fixture
def decide(tmp_path):
    """Write 100 trades in blocks of one, let a strategy read them; parent, code, logged blocks."""
    directory = RunDirectory(tmp_path)

    def run(text, **options):
        strategy = tmp_path / "mine.py"
        strategy.write_text(text)
        with Writer(directory.journal("sip"), directory.positions("sip")) as writer:
            writer.append_json(EntryKind.SESSION, {"event": "started", "run": "monday"})
            for number in range(100):
                writer.append([TRADE % number], 1, 1)
        task = DecideTask(
            "monday",
            str(tmp_path),
            [FeedPlace("sip", "alpaca")],
            DecideConfig(file=strategy, name="mine", **options),
            JournalConfig(),
            {"sip": (0, 0)},
            0,
            "decided",
        )
        parent = FakeParent()
        code = decide_child.main(task, parent)
        with Reader(directory.decision_journal("mine"), None) as reader:
            logged = [read_logged(block) for blocks in iter(reader.read, []) for block in blocks]
        return parent, code, logged

    run.directory = directory
    return run


def test_all_is_given_and_logged_behind_one_start(decide):
    parent, code, logged = decide(ECHO)

    assert code == EXIT_COMPLETE
    assert isinstance(logged[0].input, Start)
    assert logged[0].input.file_sha256
    assert sum(each.input.count for each in logged[1:]) == 101
    values = [msgspec.json.decode(one)["value"] for each in logged for one in each.decisions]
    assert values == list(range(100))
    assert parent.told[-1][1]["behind_bytes"] == {"sip": 0}


def test_a_slow_strategys_inputs_are_short_so_that_little_is_lost_with_it(decide, monkeypatch):
    """Each block takes longer than an input may: so each is an input, logged at once."""
    monkeypatch.setattr(decide_child, "_INPUT_NS_MAX", 0)
    _, _, logged = decide(ECHO)

    assert {each.input.count for each in logged if isinstance(each.input, Blocks)} == {1}


def test_stamps_are_written_in_small_pieces_between_the_reports(decide, monkeypatch):
    pieces, plain = [], RowFile.write

    def write(file, rows):
        if file.path.parent.name == "decided":  # pauses have rows of their own, at any time
            pieces.append(rows)
        plain(file, rows)

    monkeypatch.setattr(RowFile, "write", write)
    monkeypatch.setattr(decide_child, "_INPUT_NS_MAX", 0)
    monkeypatch.setattr(decide_child, "_FLUSH_NS", 0)
    monkeypatch.setattr(decide_child, "_REPORT_NS", 10**18)
    parent, _, _ = decide(ECHO)

    assert [event for event, _ in parent.told].count("statistics") == 2, "the first and the last"
    assert max(map(len, pieces)) <= 40, "one row"
    rows = read_rows(decide.directory.stages / "decided", "sip")
    assert rows["count"].sum() == 101


def test_an_orphan_is_bounded_as_a_living_supervisor_would_bound_it(decide):
    parent, _, _ = decide(ECHO)

    assert parent.orphan_s == 10.0


def test_a_strategy_that_stops_says_so_with_its_code_and_its_journal(decide):
    parent, code, logged = decide(ECHO.replace("return trade.id", "return 1 // (trade.id - 5)"))

    assert code == EXIT_STOPPED
    (words,) = parent.words("decision_error")
    assert "ZeroDivisionError" in words
    assert [failed.words for each in logged for failed in each.failures] == [words]


def test_a_strategy_that_cannot_be_loaded_leaves_that_in_its_journal(decide):
    parent, code, logged = decide("class Bad(:\n")

    assert code == EXIT_STOPPED
    assert [failed.words for failed in logged[0].failures] == parent.words("decision_error")


def test_a_disk_that_refuses_decisions_is_trouble_and_is_counted(decide, monkeypatch):
    plain = Disk.__dict__["write"]
    refused = []

    def refuse(descriptor, chunk):
        if b'"type":"blocks"' in chunk:
            refused.append(len(chunk))
            raise OSError(28, "No space left on device")
        return (plain.__func__ if isinstance(plain, staticmethod) else plain)(descriptor, chunk)

    monkeypatch.setattr(Disk, "write", staticmethod(refuse))
    parent, code, logged = decide(ECHO)

    assert code == EXIT_COMPLETE
    assert refused
    assert "no room" in parent.words("trouble")[0]
    assert "entries of strategy mine are lost" in parent.words("trouble")[-1]
    assert [type(each.input) for each in logged] == [Start]


def test_the_run_of_an_epoch_stands_in_its_first_block():
    def block(kind, payload):
        word = (len(payload) | kind << 28).to_bytes(4, "little")
        return Block(0, 96, 200, 0, 1, 1, 1, 0, word + payload)

    started = b'{"event":"started","run":"monday","down_since_ns":5}'
    assert decide_child.run_of(block(EntryKind.SESSION, started)) == "monday"
    assert decide_child.run_of(block(EntryKind.SESSION, b'{"event":"connecting"}')) == ""
    assert decide_child.run_of(block(EntryKind.TEXT, b"[]")) == ""


def test_below_the_reserve_nothing_is_decided_and_it_is_said(decide, monkeypatch):
    monkeypatch.setattr(room_module, "disk_free_bytes", lambda _: 5)
    parent, code, logged = decide(ECHO)

    assert code == EXIT_COMPLETE
    assert [type(each.input) for each in logged] == [Start]
    (words,) = parent.words("trouble")
    assert words.startswith("strategy mine waits until the disk has reserve_bytes")


def test_when_there_is_room_again_a_strategy_goes_on_where_it_was(decide, monkeypatch):
    free = iter([5, 5, 5])
    monkeypatch.setattr(room_module, "disk_free_bytes", lambda _: next(free, 10**12))
    monkeypatch.setattr(room_module, "_LOOK_NS", 0)
    monkeypatch.setattr(decide_child, "_IDLE_S", 0.001)
    monkeypatch.setattr(decide_child, "_REPORT_NS", 0)

    class Patient(FakeParent):
        """A parent whose word to leave comes when the strategy goes on."""

        def __init__(self):
            super().__init__()
            self.leave.clear()

        def tell(self, event, **content):
            super().tell(event, **content)
            if event == "mended":
                self.leave.set()

    monkeypatch.setitem(globals(), "FakeParent", Patient)
    parent, code, logged = decide(ECHO)

    assert code == EXIT_COMPLETE
    assert parent.words("mended") == ["strategy mine goes on"]
    assert len(parent.words("trouble")) == 1
    assert sum(each.input.count for each in logged[1:]) == 101
