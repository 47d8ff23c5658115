"""Metrics of a run that a journal's writer and its log make here, restarts among them."""

import json

import pytest

pytest.importorskip("prometheus_client", reason="needs prometheus-client")

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.journal import Writer
from ticktape.journal.writer import WriterConfig
from ticktape.latency import RunId, StageLog
from ticktape.replay.metrics import RunMetrics

CONFIG = """
directory = "."
[[feed]]
name = "sip"
kind = "alpaca"
[journal]
reserve_bytes = 4096
"""


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "run.toml").write_text(CONFIG)
    run = RunDirectory(tmp_path)
    run.feed_journal("sip").mkdir(parents=True)
    run.log.mkdir()
    return run


@pytest.fixture
def metrics(directory):
    opened = RunMetrics(directory)
    yield opened
    opened.close()


def write(directory, count):
    """One start of a writer, with stamps of the stage `written`."""
    process = RunId(clock.boot_id(), clock.wall_now_ns(), 1)
    stage = StageLog(directory.stages / "written", "sip", process)
    journal, positions = directory.feed_journal("sip"), directory.feed_positions("sip")
    writer = Writer(journal, positions, WriterConfig(sync="each"))
    for _ in range(count):
        start = writer.offset
        writer.append([b"[]"], clock.wall_now_ns(), clock.monotonic_ns())
        stage.append(writer.epoch, start, writer.offset, clock.monotonic_ns(), 1)
    writer.close()
    stage.close()


def say(directory, child, event, **more):
    with open(directory.log / "events.jsonl", "a") as log:
        log.write(json.dumps({"at": "", "child": child, "event": event, **more}) + "\n")


def feed_of(metrics):
    return metrics.snapshot().feeds[0]


def test_a_run_that_only_begins_has_metrics_too(tmp_path):
    text = RunMetrics(RunDirectory(tmp_path / "nothing")).text()
    assert "ticktape_recorder_up 0.0" in text


def test_entries_grow_over_a_restart_of_the_writer(directory, metrics):
    write(directory, 3)
    first = feed_of(metrics)
    write(directory, 4)
    second = feed_of(metrics)
    assert (first.entries, second.entries) == (3, 7)
    assert second.synced_entries == 7
    assert second.synced_age_s == 0
    assert second.journal == "closed"


def test_latency_counts_what_comes_after_the_first_question(directory, metrics):
    write(directory, 3)
    before = dict(metrics.snapshot().latency["written"].buckets())["+Inf"]
    write(directory, 5)
    after = dict(metrics.snapshot().latency["written"].buckets())["+Inf"]
    assert (before, after) == (0, 5)


def test_a_recorder_that_is_gone_without_a_word_misses_data(directory, metrics):
    say(directory, "capture-sip", "session", content={"event": "subscribed"})
    assert feed_of(metrics).gap_open
    assert not feed_of(metrics).up
    stopped = {"event": "stopped", "down_since_ns": 5, "planned": True}
    say(directory, "capture-sip", "session", content=stopped)
    assert not feed_of(metrics).gap_open


def test_children_that_never_died_stand_at_zero(directory, metrics):
    say(directory, "table", "exit", code=-9)
    metrics.snapshot()
    say(directory, "table", "exit", code=-9)
    exits = metrics.snapshot().exits
    assert exits["table"] == 1
    assert exits["capture-sip"] == exits["ledger"] == 0


def test_disk_and_certificate_are_read(directory, metrics):
    snapshot = metrics.snapshot()
    assert snapshot.disk_free_bytes > 0
    assert snapshot.disk_reserve_bytes == 4096
    assert snapshot.certificate_complete is None
    directory.certificates.mkdir()
    (directory.certificates / "2026-11-26.json").write_text('{"complete": false}')
    assert metrics.snapshot().certificate_complete is False
