"""A short part of the simulated month: over the end of summer time, with a kill of the whole tree.

And that the month can fail: what its checks look for is found when it is put there.
"""

import json
import sys
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its modules, also under pytest

if sys.platform == "win32":
    pytest.skip("the month kills as Linux and macOS do", allow_module_level=True)

import month
from month_days import (
    DEAD_STRATEGY,
    FIRST,
    FULL_DISK,
    KILL_TREE,
    LAST,
    LOST_LINE,
    MUTE,
    NS_PER_S,
    PLAIN,
    SILENT,
    STORIES,
    close_of,
    dates,
    day_of,
    is_closed,
    make_plan,
)
from month_disk import SmallDisk, Watch
from month_life import Lived, unexplained
from month_proof import KEYS, Proof
from month_recorder import FEED, Recorder
from month_venue import MUTED, write_tape

from ticktape.clock import iso_utc
from ticktape.directory import RunDirectory
from ticktape.journal import Writer
from ticktape.journal.position_file import save_positions
from ticktape.journal.retention import Retention
from ticktape.journal.segments import list_segments
from ticktape.journal.writer import WriterConfig
from ticktape.ledger.sessions import Hours, span_at
from ticktape.records import Position

FRIDAY, MONDAY = date(2026, 10, 30), date(2026, 11, 2)


def test_its_folder_is_named_from_where_the_command_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []

    def live(_plan, folder, _seed, _say):
        found.append(folder.parent)
        raise KeyboardInterrupt

    monkeypatch.setattr(month, "live_month", live)
    monkeypatch.setattr(month.signal, "signal", lambda *_: None)  # they are the test's process's
    assert month.main(["--days", "1", "--folder", "runs/here"]) == 130
    assert found == [tmp_path / "runs" / "here"]


@pytest.mark.timeout(900)
def test_the_days_around_the_end_of_summer_time_are_complete(tmp_path):
    """Real processes; all that the venue played is there once, on a disk of its own."""
    plan = [day_of(FRIDAY, PLAIN), day_of(MONDAY, KILL_TREE)]
    said = []
    ended = month.live_month(plan, tmp_path / "month", 1, said.append, keep_bytes=150_000)

    assert ended.violations == [], said
    assert (ended.days, ended.kills) == (2, 1)
    assert ended.unplanned_gaps - ended.suspicions == 1
    assert ended.planned_gaps >= 2
    assert ended.rows > 3_000
    assert 0 < ended.used_bytes_max <= month.DISK_BYTES


# The calendar and the plan.


def test_the_market_closes_an_hour_later_by_utc_when_summer_time_is_over():
    assert iso_utc(close_of(FRIDAY)).startswith("2026-10-30T20:00:00")
    assert iso_utc(close_of(MONDAY)).startswith("2026-11-02T21:00:00")
    assert iso_utc(close_of(date(2026, 11, 27))).startswith("2026-11-27T18:00:00")


def test_what_the_exchange_publishes_is_what_the_watchdogs_rules_say():
    for day in dates(FIRST, (LAST - FIRST).days + 1):
        close_ns = close_of(day)
        before, behind = (span_at(Hours.US_STOCKS, close_ns + by) for by in (-1, 0))
        assert before.is_open is not is_closed(day), day
        assert not behind.is_open, day
        assert is_closed(day) or before.to_ns == close_ns, day


def test_a_month_has_every_story_and_no_day_is_left_out():
    days = dates(FIRST, 30)
    plan = make_plan(days, seed=3)
    told = [day.story for day in plan]
    assert [day.date for day in plan] == days
    assert {*STORIES, MUTE, SILENT} <= set(told)
    assert [day.date.isoformat() for day in plan if day.story == MUTE] == [
        "2026-10-30",
        "2026-11-02",
    ]
    assert told.count(SILENT) == 9  # four weekends, and Thanksgiving
    assert make_plan(days, seed=3) == plan != make_plan(days, seed=4)
    with pytest.raises(ValueError, match="reaches from"):
        dates(LAST, 2)


# The checks find what is put there.


@pytest.fixture
def lived(tmp_path):
    """One day that was lived well, of which the proof can be told otherwise."""
    folder = tmp_path / "2026-11-02"
    folder.mkdir()
    return Lived(day_of(MONDAY, PLAIN), 0, [], 1, 0.0, [], {}, folder, 1.0)


def proof_of(tmp_path, *lived, gaps=()):
    proof = Proof(tmp_path / "tape", list(lived))
    proof.gaps = list(gaps)
    return proof


def gap(lived, at_s, cause, *, length_s=2.0, state="healed", planned=False, symbol=""):
    from_ns = lived.day.begin_ns + int(at_s * NS_PER_S)
    to_ns = from_ns + int(length_s * NS_PER_S)
    return {
        **{"from_ns": from_ns, "to_ns": to_ns, "cause": cause, "state": state},
        **{"planned": planned, "symbol": symbol},
    }


KILLED = "recording ended without a stop: the recorder was killed"


def test_a_segment_that_goes_before_the_table_has_read_it_is_a_violation(tmp_path):
    tape = tmp_path / "disk" / "tape"
    directory = RunDirectory(tape)
    journal = directory.feed_journal(FEED)
    config = WriterConfig(segment_bytes=1024)
    with Writer(journal, directory.feed_positions(FEED), config) as writer:
        for number in range(30):
            writer.append([bytes(200)], number + 1, 1)
        end = Position(writer.epoch, writer.offset)
    directory.readers.mkdir()
    for reader in ("table", "ledger"):
        save_positions(directory.reader_file(reader), {FEED: end}, {})
    watch = Watch(tape, SmallDisk(tmp_path / "folder", 1 << 20), 1 << 20)
    watch.look()
    Retention(journal).delete(list_segments(journal)[0], "old", 1)
    watch.look()
    assert (len(watch.deleted), watch.violations) == (1, [])

    second = list_segments(journal)[0]
    save_positions(directory.reader_file("table"), {FEED: second.position}, {})
    Retention(journal).delete(second, "a fault", 1)
    watch.look()
    (words,) = watch.violations
    assert f"{second.name} of {FEED} went before table had read it" in words
    watch.stop()
    watch._disk.close()


def test_more_on_the_disk_than_may_be_is_a_violation(tmp_path):
    disk = SmallDisk(tmp_path / "folder", 1 << 20)
    tape = disk.folder / "tape"
    journal = RunDirectory(tape).feed_journal(FEED)
    journal.mkdir(parents=True)
    (journal / "0.seg").write_bytes(bytes(5_000))
    watch = Watch(tape, disk, 4_000)
    watch.look()
    assert watch.violations == ["segments took 5,000 of 4,000 bytes"]
    assert watch.used_bytes_max >= 5_000
    disk.close()


def test_a_day_without_a_certificate_is_a_violation(tmp_path, lived):
    skipped = lived._replace(day=day_of(MONDAY + timedelta(1), PLAIN))
    folder = tmp_path / "tape" / "certificate"
    folder.mkdir(parents=True)
    said = {"day": "2026-11-02", "reasons": [], "words": "COMPLETE"}
    (folder / "2026-11-02.json").write_text(json.dumps(said))
    proof = proof_of(tmp_path, lived, skipped)
    proof.prove_certificates()
    assert proof.violations == ["2026-11-03 has no certificate"]

    said["reasons"] = ["iex: 3 trades are in the journal and not in the table (stage stored)"]
    (folder / "2026-11-02.json").write_text(json.dumps(said))
    proof = proof_of(tmp_path, lived)
    proof.prove_certificates()
    (words,) = proof.violations
    assert words.startswith("2026-11-02: certified as COMPLETE, for ['iex: 3 trades")


@pytest.mark.parametrize("fault", ["lost", "twice", "none"])
def test_a_row_that_is_lost_or_there_twice_is_a_violation(tmp_path, lived, fault):
    files = write_tape(lived.day, lived.folder, seed=1)
    stored = {file.stem: pq.read_table(file) for file in files}
    trades = stored["trades"]
    if fault == "lost":
        stored["trades"] = trades.slice(1)
    elif fault == "twice":
        stored["trades"] = pa.concat_tables([trades, trades.slice(5, 1)])
    tape = SimpleNamespace(sql=lambda text: stored[text.rpartition(" ")[2]].select(columns(text)))
    proof = proof_of(tmp_path, lived)
    proof.prove_rows(tape)
    expected = {
        "lost": ["1 trades of 2026-11-02: what was played and is not there"],
        "twice": ["1 trades of 2026-11-02: what is there, twice or never played"],
        "none": [],
    }
    assert proof.violations == expected[fault]
    assert proof.rows == trades.num_rows + stored["quotes"].num_rows


def columns(text):
    return list(KEYS[text.rpartition(" ")[2]])


def test_gaps_are_those_that_were_made(tmp_path, lived):
    killed = lived._replace(kills=[lived.day.begin_ns + NS_PER_S])
    night = gap(lived, 9, "planned stop", planned=True)
    proof = proof_of(tmp_path, killed, gaps=[gap(lived, 0.9, KILLED), night])
    proof.prove_gaps()
    assert proof.violations == []


@pytest.mark.parametrize(
    "made",
    [
        [],
        [(0.9, KILLED, {"state": "open"})],
        [(0.9, KILLED, {}), (3.5, "connection lost", {})],
        [(0.9, "connection lost", {})],
        [(4.0, KILLED, {})],
    ],
    ids=["none", "not healed", "one more", "another cause", "another time"],
)
def test_a_gap_that_nobody_made_or_that_lacks_is_a_violation(tmp_path, lived, made):
    killed = lived._replace(kills=[lived.day.begin_ns + NS_PER_S])
    gaps = [gap(lived, at_s, cause, **more) for at_s, cause, more in made]
    proof = proof_of(tmp_path, killed, gaps=[*gaps, gap(lived, 9, "stop", planned=True)])
    proof.prove_gaps()
    assert proof.violations != []


def test_a_lost_line_makes_one_gap_and_a_stop_one_that_is_planned(tmp_path, lived):
    lost = lived._replace(day=day_of(MONDAY, LOST_LINE))
    made = [gap(lost, 2, "connection lost"), gap(lost, 9, "stop", planned=True)]
    for gaps, faults in ((made, 0), (made[:1], 1), (made[1:], 1)):
        proof = proof_of(tmp_path, lost, gaps=gaps)
        proof.prove_gaps()
        assert len(proof.violations) == faults


def alarm(lived, at_s, symbol="", kind="mute"):
    at = iso_utc(lived.day.close_ns + int(at_s * NS_PER_S))
    return {
        "at": at,
        "kind": kind,
        "symbol": symbol,
        "channel": "trades",
        "words": f"nothing came of {symbol}",
    }


def test_an_alarm_behind_the_close_or_on_a_holiday_is_a_violation(tmp_path, lived):
    silent = lived._replace(day=day_of(date(2026, 11, 26), SILENT))
    for day in (lived, silent):
        proof = proof_of(tmp_path, day._replace(alarms=[alarm(day, 4.0)]))
        proof.prove_alarms()
        (words,) = proof.violations
        assert "a false alarm" in words


@pytest.mark.parametrize(("pause_s", "faults"), [(5.0, 0), (0.1, 1)], ids=["true", "false"])
def test_an_alarm_is_of_when_the_ledger_judged_and_not_of_when_it_could_say_so(
    tmp_path, lived, monkeypatch, pause_s, faults
):
    words = "nothing came of trades for 4.2 s; usual is one in 0.1 s, and 3.9 s of silence"
    late = lived._replace(alarms=[alarm(lived, 9.0) | {"words": f"{FEED}: {words}"}])
    sent = pa.table({"sent_ns": [0, int(pause_s * NS_PER_S)]})
    monkeypatch.setattr("month_proof.read_truth", lambda _: sent)
    proof = proof_of(tmp_path, late, gaps=[gap(lived, 0.5, words, state="suspect")])
    proof.prove_alarms()
    assert len(proof.violations) == faults


def test_a_silence_that_nobody_noticed_is_a_violation(tmp_path, lived):
    mute = lived._replace(day=day_of(MONDAY, MUTE))
    proof = proof_of(tmp_path, mute)
    proof.prove_alarms()
    assert len(proof.violations) == 2

    noticed = mute._replace(alarms=[alarm(mute, -4.0, MUTED, "silence")])
    proof = proof_of(tmp_path, noticed, gaps=[gap(mute, 3.0, "nothing came of it", symbol=MUTED)])
    proof.prove_alarms()
    assert proof.violations == []


def test_only_what_was_done_explains_why_a_run_is_not_complete():
    undecided = "counts: 5 entries of iex were recorded and not decided on"
    lost = "iex: torn end at epoch 1 offset 65271: 265 bytes, 2 entries lost"
    died = "counts: stopped itself: strategy counts: on_trade raised RuntimeError: it"
    assert unexplained([undecided, died], {KILL_TREE, FULL_DISK, DEAD_STRATEGY}) == []
    assert unexplained([undecided, died], {PLAIN}) == [undecided, died]
    assert unexplained([lost], {FULL_DISK}) == [lost]


def test_a_log_that_is_rotated_is_heard_to_its_end(tmp_path):
    log = tmp_path / "tape" / "log" / "events.jsonl"
    log.parent.mkdir(parents=True)
    recorder = Recorder(tmp_path, tmp_path / "tape", keep_days=1, keep_bytes=1)
    assert recorder.news() == []
    with open(log, "w") as file:
        for number in range(4):
            file.write(json.dumps({"n": number}) + "\n")
            file.flush()
            if number == 0:
                file.write('{"n"')  # cut off, or on its way
                file.flush()
                assert recorder.news() == [{"n": 0}]
                file.write(": 0.5}\n")
    log.rename(log.with_suffix(".1"))
    log.write_text('{"n": 4}\n')
    assert [said["n"] for said in recorder.news()] == [0.5, 1, 2, 3, 4]
    assert recorder.news() == []
    recorder.close()
