"""Logs are bounded, and who reads or prints into them goes on across that."""

import os

import pytest

from ticktape.directory import LOG_FILES, older_log
from ticktape.recorder import logs
from ticktape.recorder.logs import LogWatch, empty, rotate
from ticktape.replay.dashboard_rows import LineTail


@pytest.fixture
def path(tmp_path):
    return tmp_path / "last.log"


def test_a_full_log_is_moved_aside_and_the_oldest_of_five_goes(path):
    for number in range(9):
        path.write_text(f"{number}" * 10)
        rotate(path, 10)
        assert not path.exists()
    older = [older_log(path, number) for number in range(1, LOG_FILES)]
    assert [each.read_text()[0] for each in older] == ["8", "7", "6", "5"]
    assert sorted(path.parent.iterdir()) == older


def test_a_log_with_room_is_left(path):
    rotate(path, 10)
    path.write_text("x" * 9)
    rotate(path, 10)
    empty(path, 10)
    assert [each.name for each in path.parent.iterdir()] == ["last.log"]


@pytest.mark.skipif(os.name == "nt", reason="no shared appending there")
def test_who_has_a_log_open_goes_on_at_its_beginning_and_nothing_is_lost(path):
    with open(path, "ab", buffering=0) as held:
        held.write(b"one\ntwo\n")
        empty(path, 8)
        held.write(b"three\n")
        assert path.read_bytes() == b"three\n"
        assert older_log(path, 1).read_bytes() == b"one\ntwo\n"


@pytest.mark.skipif(os.name == "nt", reason="no shared appending there")
def test_of_a_log_that_grew_beyond_its_bound_the_newest_whole_lines_are_kept(path):
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(100)))
    empty(path, 50)
    kept = older_log(path, 1).read_bytes()
    assert kept.startswith(b"line 9") and kept.endswith(b"line 99\n")
    assert len(kept) <= 50
    assert path.read_bytes() == b""


@pytest.mark.skipif(os.name == "nt", reason="no shared appending there")
def test_the_logs_of_children_are_looked_at_every_few_seconds(tmp_path, monkeypatch):
    now_ns = [0]
    monkeypatch.setattr(logs.clock, "monotonic_ns", lambda: now_ns[0])
    watch = LogWatch(tmp_path, 10)
    log = tmp_path / "decide-a.log"
    log.write_text("x" * 20)
    watch.look()
    assert log.read_text() == ""
    log.write_text("x" * 20)
    watch.look()
    assert log.read_text() != ""
    now_ns[0] += logs._LOOK_NS
    watch.look()
    assert log.read_text() == ""


def test_a_reader_reads_every_line_once_across_any_number_of_rotations(path):
    tail, read = LineTail(path), []
    for number in range(60):
        rotate(path, 40)
        with open(path, "a") as log:
            log.write(f"line {number}\n")
        if number % 7 == 0:
            read += tail.read()
    read += tail.read()
    assert read == [b"line %d" % number for number in range(60)]


def test_a_reader_that_comes_just_behind_a_rotation_reads_what_was_before(path):
    path.write_text("subscribed\n")
    rotate(path, 5)
    path.write_text("flowing\n")
    assert LineTail(path).read() == [b"subscribed", b"flowing"]
