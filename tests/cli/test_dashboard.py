"""What the page reads of a real run, and what it answers when someone clicks."""

import json
import shutil
import subprocess

import pytest

from ticktape import clock
from ticktape.dashboard.board import Board, Seen
from ticktape.directory import RunDirectory
from ticktape.replay.dashboard import RunSource, ask_command
from ticktape.replay.dashboard_answers import answer
from ticktape.replay.paths import trace_trade

DRAWN_US = 7_000_000  # the points of a run that has ended go on for so long after the last receipt


@pytest.fixture(scope="module")
def shown(demo):
    """The first message about the demo's run, its last-value rows by symbol, and a book."""
    # A minute later, when every point in time is final.
    source = RunSource(RunDirectory(demo), wall_ns=lambda: clock.wall_now_ns() + 60 * 10**9)
    board, seen = Board(), Seen()
    seen.watched = ("mt5", "BTCUSDT")
    board.take(source.sample({seen.watched}))
    message = json.loads(board.message(seen))
    source.close()
    return message


def test_the_newest_values_of_every_symbol_are_shown(shown):
    rows = {tuple(shown["symbols"][number]): row for number, *row in shown["values"]}
    assert {symbol for _, symbol in rows} == {"AIG", "BAC", "SPY", "IBM", "BTCUSDT"}
    assert rows["sip", "SPY"][:2] == [165.46, 300.0]
    assert rows["sip", "IBM"][2] < rows["sip", "IBM"][4], "bid and ask"
    assert rows["mt5", "BTCUSDT"][3] > 0, "the size of a book's best bid"


def test_the_watched_book_has_its_depth(shown):
    book = shown["book"]
    assert (book["sort"], book["valid"], book["levels"]) == ("polled", True, [20, 20])
    assert book["bids"] == sorted(book["bids"], reverse=True)
    assert book["asks"] == sorted(book["asks"])


def test_a_run_that_has_ended_says_so_and_what_it_recorded(shown):
    assert shown["standing"]["state"] in ("ended", "complete")
    assert {feed["name"]: feed["state"] for feed in shown["feeds"]} == {
        "mt5": "stopped",
        "sip": "stopped",
    }
    assert shown["disk"]["journals"] > 1_000_000
    assert [each["event"] for each in shown["history"]["sip"]][-2:] == ["subscribed", "stopped"]


def test_every_entry_is_counted_at_every_stage_and_latency_grows_along_the_way(shown):
    names = shown["stages"]["names"]
    sums = [sum(point[1][at] for point in shown["points"]) for at in range(len(names))]
    entries = sum(feed["entries"] for feed in shown["feeds"])
    assert names == ["written", "synced", "last", "decided", "stored"]
    latency = shown["stages"]["latency"]
    # What a busy machine did so late that it is behind the last point is not in the sums.
    in_time = [name for name in names if latency[name][3] < DRAWN_US]
    assert "written" in in_time
    # `written` counts from the first of them on; what the session itself wrote is not in all.
    counts = dict(zip(names, sums, strict=True))
    assert all(abs(counts[name] - entries) < 100 for name in in_time), (counts, entries)
    assert latency["written"][0] < latency["synced"][0] < latency["stored"][0]
    assert shown["latency"]


def test_a_trades_path_is_what_trace_says(demo):
    (newest, *_) = answer(demo, "trades", {"feed": "sip", "symbol": "IBM"})["trades"]
    epoch, seq, _ = newest["place"]
    found = answer(demo, "path", {"feed": "sip", "epoch": str(epoch), "seq": str(seq)})
    traced = trace_trade(RunDirectory(demo), "IBM", int(newest["id"]))
    assert found["steps"] in [[step._asdict() for step in each.steps] for each in traced]


def test_a_day_has_its_coverage_and_its_planned_stop(demo):
    found = answer(demo, "coverage", {})
    assert {row["symbol"] for row in found["rows"]} == {"AIG", "BAC", "SPY", "IBM", "BTCUSDT"}
    counted = sum(count for row in found["rows"] for _, count in row["counts"])
    assert counted > 36_000
    assert {gap["cause"] for gap in found["gaps"]} >= {"planned stop"}
    assert answer(demo, "coverage", {"day": str(found["days"][0])})["rows"]


def test_the_identity_so_far_and_the_proof_agree(demo):
    counted = answer(demo, "certificate", {})["feeds"]
    assert counted["sip"] == {"received": 36_234, "stored": 36_234}
    proof = answer(demo, "proof", {})["proof"]
    assert proof["feeds"]["sip"]["stored"] == 36_234


def test_a_question_without_sense_is_told_so_in_words_and_the_next_is_answered(demo):
    asked = [
        ("path", {"feed": "../sip", "epoch": "0", "seq": "0"}),
        ("path", {"feed": "sip", "epoch": "x", "seq": "0"}),
        ("trades", {"feed": "sip"}),
        ("coverage", {"day": "1e9"}),
        ("anything", {}),
        ("trades", {"feed": "sip", "symbol": "' OR 1=1 --"}),
    ]
    lines = "".join(json.dumps({"what": what, "given": given}) + "\n" for what, given in asked)
    command = ask_command(RunDirectory(demo))
    ran = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    ready, *answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ready == {}
    assert all(found["words"] for found in answers[:5])
    assert answers[5] == {"trades": []}


def test_a_place_that_no_stamp_leads_to_is_told_in_words(demo):
    found = answer(demo, "path", {"feed": "sip", "epoch": "9", "seq": "0"})
    assert "ticktape trace" in found["words"]


def test_a_folder_that_is_no_run_yet_is_shown_as_one_that_has_nothing(tmp_path):
    source = RunSource(RunDirectory(tmp_path / "none"))
    sample = source.sample(set())
    assert sample.parts["standing"]["state"] == "ended"
    assert sample.symbols == []
    source.close()
    source.close()


def test_the_ballast_counts_as_room_and_not_as_the_runs(tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    directory = RunDirectory(tmp_path)
    directory.ballast.write_bytes(bytes(10**6))
    (tmp_path / "other").write_bytes(bytes(7))
    source = RunSource(directory)
    disk = source.sample(set()).parts["disk"]
    source.close()
    assert (disk.run, disk.free) == (7, 10**12 + 10**6)
