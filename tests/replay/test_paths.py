"""The path of any trade, the nearest ids of one that is not there, and why slow ones were slow."""

import os

import pytest

from ticktape import clock
from ticktape.errors import ConfigError
from ticktape.latency import PauseKind, PauseLog, RunId
from ticktape.replay.paths import latency_report, slowest, trace_trade


def test_any_trade_has_a_path_decided_on_or_not(made):
    for trade_id in (1000, 1007, 1099):
        (path,) = trace_trade(made.directory, "IBM", trade_id)
        stages = {step.stage: step for step in path.steps}

        assert path.trade["price"] == 100 + (trade_id - 1000) / 8
        assert list(stages)[:6] == ["recv", "written", "synced", "last", "decided", "stored"]
        assert stages["recv"].since_recv_us == 0.0
        assert stages["decided"].mono_ns is not None
        assert stages["stored"].batch_count >= 2
        assert (stages["last"].mono_ns, stages["last"].note) == (None, "not reached")


def test_a_trade_that_is_not_in_the_table_yet_is_found_in_the_journal(made, trade):
    made.record([[trade(500)]], run="tuesday")
    (path,) = trace_trade(made.directory, "IBM", 1500)

    assert path.position.epoch == 1
    assert {step.stage: step.note for step in path.steps}["stored"] == "not reached"


def test_an_id_that_came_twice_has_two_paths(made, trade):
    made.record([[trade(600, trade_id=1007, price=3.0)]], run="tuesday")

    assert len(trace_trade(made.directory, "IBM", 1007)) == 2


@pytest.mark.parametrize(
    ("trade_id", "near"),
    [(1200, "1097, 1098, 1099"), (1, "1000, 1001, 1002"), (-5, "1000, 1001, 1002")],
)
def test_an_id_that_is_not_there_is_answered_with_the_nearest(made, trade_id, near):
    with pytest.raises(ConfigError, match=f"no trade {trade_id} of IBM") as caught:
        trace_trade(made.directory, "IBM", trade_id)

    assert near in caught.value.hint


def test_ids_of_nineteen_digits_are_no_trap(made, trade):
    made.record([[trade(700, trade_id=2**63 - 1)]], run="tuesday")

    assert trace_trade(made.directory, "IBM", 2**63 - 1)[0].trade["price"] == 100 + 700 / 8
    with pytest.raises(ConfigError) as caught:
        trace_trade(made.directory, "IBM", -(2**63))
    assert "1000, 1001, 1002" in caught.value.hint


def test_an_unknown_symbol_is_answered_with_those_that_there_are(made, trade):
    made.record([[trade(800, symbol="TSLA")]], run="tuesday")

    with pytest.raises(ConfigError) as caught:
        trace_trade(made.directory, "NONE", 1)

    assert caught.value.hint == "Symbols with trades: IBM, TSLA."


def test_latency_counts_every_entry_of_each_stage(made):
    report = latency_report(made.directory).to_dict()

    assert report["recv_to_stored"]["count"] > 100
    assert report["recv_to_decided"]["count"] == report["recv_to_stored"]["count"]
    assert report["recv_to_written"]["max"] > 0


def test_the_slowest_batches_name_the_pause_that_stood_in_their_way(made):
    run = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
    report = latency_report(made.directory)
    (worst,) = [one for one in report.worst(1) if one.stage == "stored"]
    with PauseLog(made.directory.pauses, "table", run) as pauses:
        pauses.record(PauseKind.GC, worst.recv_mono_ns + 1, worst.latency_ns - 2)

    found = slowest(made.directory, report, 1)

    (stored,) = [one for one in found if one.stage == "stored"]
    assert stored.why == f"GC pause of {(worst.latency_ns - 2) / 1000:.0f} µs in table"
