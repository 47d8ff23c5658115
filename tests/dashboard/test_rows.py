"""Row files and the log, followed from near their ends; what is cut or torn is waited for."""

import json

import pytest

from ticktape.latency import RunId, StageLog
from ticktape.replay import dashboard_rows
from ticktape.replay.dashboard_rows import LineTail, StageTails

BOOT = b"b" * 16


@pytest.fixture
def log(tmp_path):
    with StageLog(tmp_path / "written", "sip", RunId(BOOT, 5, 1)) as opened:
        yield opened


def write(log, *offsets):
    for offset in offsets:
        log.append(0, offset, offset + 10, 1_000 + offset, 3)
    log.flush()


def ends(tails):
    return [(new.stage, new.feed, new.rows["to_offset"].tolist()) for new in tails.read()]


def test_new_rows_are_given_once(tmp_path, log):
    tails = StageTails(tmp_path)
    assert ends(tails) == []
    write(log, 0, 10)
    assert ends(tails) == [("written", "sip", [10, 20])]
    assert ends(tails) == []
    write(log, 20)
    assert ends(tails) == [("written", "sip", [30])]


def test_half_a_row_is_waited_for(tmp_path, log):
    write(log, 0, 10)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-7])
    tails = StageTails(tmp_path)
    assert ends(tails) == [("written", "sip", [10])]
    log.path.write_bytes(whole)
    assert ends(tails) == [("written", "sip", [20])]


def test_of_a_long_past_only_the_end_is_read(tmp_path, log, monkeypatch):
    monkeypatch.setattr(dashboard_rows, "TAIL_BYTES", 80)
    write(log, *range(0, 1_000, 10))
    assert ends(StageTails(tmp_path)) == [("written", "sip", [990, 1_000])]


def test_rows_of_a_strategys_own_journal_and_strange_files_are_left_out(tmp_path):
    with StageLog(tmp_path / "stored", "decision:a", RunId(BOOT, 5, 1)) as own:
        write(own, 0)
    (tmp_path / "stored" / "sip-7-8.rows").write_bytes(b"none of ours")
    assert ends(StageTails(tmp_path)) == []


def test_lines_are_given_whole_and_once(tmp_path):
    path = tmp_path / "events.jsonl"
    tail = LineTail(path)
    assert tail.read() == []
    path.write_bytes(b"one\ntw")
    assert tail.read() == [b"one"]
    path.write_bytes(b"one\ntwo\n")
    assert tail.read() == [b"two"]
    path.write_bytes(b"new\n")
    assert tail.read() == [b"new"], "a shorter file is another one"


def test_of_a_long_log_only_the_end_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(dashboard_rows, "_LOG_BYTES", 100)
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps({"number": number}) + "\n" for number in range(1_000)))
    lines = LineTail(path).read()
    assert 2 < len(lines) < 10
    assert [json.loads(line)["number"] for line in lines][-1] == 999
