"""Every planted defect is found and named with its place; a whole run is complete."""

import re
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).parents[1] / "recorder"))  # for its modules

from heal_world import GAP, LAG_NS, START_NS, TAPE, S, World, trades_in
from test_heal_child import Bench

from ticktape.errors import ConfigError
from ticktape.feeds.rest import Answer
from ticktape.journal import Writer
from ticktape.journal.damage import Damage
from ticktape.records import EntryKind, Position
from ticktape.replay.bring_in import bring_in
from ticktape.replay.certify import certificates
from ticktape.replay.check import check, examine
from ticktape.replay.reading import JournalReading
from ticktape.table.store import TableStore, Tally

AT = "2025-11-20 15:00"
STAGE = r"\(stage stored\)$"


def reasons(made):
    return made.check().reasons()


def one(found, pattern):
    """The one reason that matches; there may be no other."""
    assert len(found) == 1, found
    assert re.search(pattern, found[0]), found
    return found[0]


def table_of(made, kind="trades"):
    return str(made.directory.table / kind)


def rows(made, kind="trades"):
    return TableStore(made.directory.root, read_only=True).rows(kind)


def append(made, table, kind="trades"):
    """Commit rows that no journal holds, as a broken table process would."""
    store = TableStore(made.directory.root)
    store.append(kind, table, "planted", Position(9, 9), Tally(table.num_rows))


def test_a_whole_run_is_complete_and_counted(made):
    verdict = made.check()

    assert verdict.reasons() == []
    assert verdict.totals() == {
        "received": 100,
        "stored": 100,
        "duplicates": 0,
        "dropped": 0,
        "gaps": 0,
        "gaps_healed": 0,
        "suspects": 0,
        "torn": 0,
    }
    (feed,) = verdict.feeds
    (strategy,) = verdict.decisions
    assert (feed.sessions, feed.epochs, len(feed.gaps)) == (1, 1, 1)
    assert strategy.counts[0].stored == 10
    assert verdict.latency_us["recv_to_written"]["count"] > 80
    assert verdict.to_json()["decisions"] == {"tens": {"decisions": 10}}


# The table.


def test_a_deleted_row_is_missing(made):
    DeltaTable(table_of(made)).delete("id = 1007")

    one(
        reasons(made),
        f"^sip: 1 trades of IBM at {AT} are in the journal and not in the table {STAGE}",
    )


def test_a_doubled_row_is_surplus(made):
    append(made, rows(made).slice(7, 1))

    one(
        reasons(made),
        f"^sip: 1 trades of IBM at {AT} are in the table and not in the journal, or twice {STAGE}",
    )


@pytest.mark.parametrize(
    ("column", "value"), [("price", "1.0"), ("conditions", "'X'"), ("recv_ns", "recv_ns + 1")]
)
def test_an_altered_value_is_found_in_whichever_column(made, column, value):
    DeltaTable(table_of(made)).update(updates={column: value}, predicate="id = 1007")

    one(reasons(made), f"^sip: 1 trades of IBM at {AT} differ from what the journal says {STAGE}")


def test_rows_of_a_stranger_are_named(made):
    table = rows(made).slice(0, 1)
    stranger = table.set_column(0, "feed", pa.array(["ghost"]))
    append(made, stranger)

    one(reasons(made), r"^the table has rows of 'ghost', which has no journal$")


def test_an_altered_decision_is_found(made):
    DeltaTable(table_of(made, "decisions")).update(
        updates={"value": "'[0]'"}, predicate="number = 3"
    )

    one(
        reasons(made),
        f"^tens: 1 decisions of IBM at {AT} differ from what the journal says {STAGE}",
    )


def test_a_table_file_that_is_gone_is_named_and_its_rows_are_missing(made):
    (path,) = (made.directory.table / "trades").glob("day=*/*.parquet")
    path.unlink()
    found = reasons(made)

    assert len(found) == 2
    assert f"{path.name} is missing" in found[0]
    assert re.search(
        f"^sip: 100 trades of IBM at {AT} are in the journal and not in the table {STAGE}", found[1]
    )


def test_a_flipped_bit_in_a_table_file_is_found(made):
    (path,) = (made.directory.table / "trades").glob("day=*/*.parquet")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 0x10
    path.write_bytes(raw)

    assert reasons(made), "a flipped bit went unnoticed"


def test_a_tail_that_is_not_yet_in_the_table_is_behind(made, trade):
    made.record([[trade(200), trade(201)]], run="tuesday")
    found = reasons(made)

    behind = f"are journaled and not yet in the table {STAGE}"
    assert [w for w in found if re.search(f"^sip: 2 trades of IBM at {AT} {behind}", w)], found
    assert [
        w for w in found if not re.search(f"^sip: [12] (trades of IBM|gaps) at {AT} {behind}", w)
    ] == []


# The journal.


def test_a_flipped_byte_costs_its_block_and_is_named_with_its_place(made):
    victim = made.blocks()[10]
    for path in made.segments():
        raw = bytearray(path.read_bytes())
        at = raw.find(victim.body)
        if at >= 0:
            raw[at + len(victim.body) // 2] ^= 1
            path.write_bytes(raw)
    found = reasons(made)

    place = f"damaged block at epoch 0 offset {victim.offset}: "
    assert [words for words in found if place in words and "2 entries lost" in words], found
    surplus = f"^sip: 2 trades of IBM at {AT} are in the table and not in the journal, or twice"
    assert [w for w in found if re.search(surplus, w)], found


@pytest.mark.parametrize("which", ["first", "middle"])
def test_a_segment_that_is_gone_is_named(made, which):
    segments = made.segments()
    assert len(segments) > 3
    gone = segments[0] if which == "first" else segments[2]
    gone.unlink()
    found = reasons(made)

    lost = r"(missing part|damaged block) at epoch 0 offset \d+: \d+ bytes, \d+ entries lost"
    assert [w for w in found if re.search(lost, w) or "are in no segment" in w], found
    assert [w for w in found if "are in the table and not in the journal" in w], found


def test_a_last_segment_that_is_gone_shows_by_the_missing_stop_and_the_rows(made):
    made.segments()[-1].unlink()
    found = reasons(made)

    assert [w for w in found if "recording ended without a stop" in w], found
    assert [w for w in found if "are in the table and not in the journal" in w], found


def test_a_torn_end_is_named_unless_numbers_prove_that_it_cost_nothing():
    reading = JournalReading()
    refused = Damage(1, 300, 61, 0, torn=True)  # it stands whole in the next segment
    killed = Damage(1, 900, 61, None, torn=True)
    flipped = Damage(2, 128, 128, 0, torn=False)
    reading.finish([refused, killed, flipped])
    assert [told.words for told in reading.torn] == [str(killed), str(flipped)]


def test_a_torn_end_is_named_with_its_bytes(made):
    path = made.segments()[-1]
    path.write_bytes(path.read_bytes()[:-9])
    found = reasons(made)

    assert [w for w in found if re.search(r"^sip: torn end at epoch 0 offset \d+: \d+ bytes", w)]
    assert [w for w in found if "recording ended without a stop" in w], found


def test_a_recorder_that_was_killed_and_never_came_back_leaves_an_open_gap(empty, trade):
    epoch = empty.record([[trade(1)], [trade(2)]], run="monday", stop=False)
    empty.decide("monday", epoch)
    empty.store()
    words = one(reasons(empty), r"^sip: gap 2025-.* \(still open\): recording ended without a stop")

    assert "the recorder was killed" in words


def test_a_note_behind_the_stop_does_not_undo_it(made):
    with Writer(made.directory.journal("sip"), made.directory.positions("sip")) as writer:
        writer.append_json(EntryKind.NOTE, {"suspect": None})

    assert [w for w in reasons(made) if "without a stop" in w] == []


def test_frames_that_were_dropped_are_counted_and_named(empty, trade):
    own = [(EntryKind.DROPPED, {"frames": 40, "bytes": 9}), (EntryKind.DROPPED, {"frames": 2})]
    epoch = empty.record([[trade(1)]], run="monday", own=own)
    empty.decide("monday", epoch)
    empty.store()
    verdict = empty.check()

    first, *gaps = verdict.reasons()
    assert first == "sip: 42 frames were dropped (disk refused)"
    assert all(words.startswith("sip: gap ") for words in gaps)
    assert "40 frames were dropped: the disk refused" in gaps[0]
    assert verdict.totals()["received"] == 43
    assert verdict.totals()["gaps"] == len(gaps) == 2


def test_a_range_that_a_failed_sync_left_suspect_is_named(empty, trade):
    suspect = {"suspect": {"epoch": 0, "from_offset": 96, "to_offset": 400}}
    epoch = empty.record([[trade(1)]], run="monday", own=[(EntryKind.NOTE, suspect)])
    empty.decide("monday", epoch)
    empty.store()

    one(reasons(empty), r"^sip: suspect epoch 0 offsets 96 to 400: a sync failed$")


def test_duplicates_and_conflicts_are_counted_and_do_not_make_it_incomplete(empty, trade):
    blocks = [[trade(1), trade(2)], [trade(1)], [trade(2, price=7.0)], [trade(2)]]
    epoch = empty.record(blocks, run="monday")
    empty.decide("monday", epoch)
    empty.store()
    verdict = empty.check()
    (feed,) = verdict.feeds

    assert verdict.complete, verdict.reasons()
    assert [feed.total(n) for n in ("received", "stored", "duplicates", "conflicts")] == [
        5,
        3,
        2,
        1,
    ]


# Strategies.


def test_a_strategy_that_was_not_given_all_of_its_run_is_behind(made, trade):
    with_more = made.record([[trade(300)], [trade(301)]], run="monday")
    made.store()

    assert with_more == 1
    one(reasons(made), r"^tens: 6 entries of sip were recorded and not decided on$")


def test_runs_in_which_a_strategy_did_not_run_do_not_count_against_it(made, trade):
    made.record([[trade(300)]], run="tuesday")
    made.store()

    assert reasons(made) == []


def test_a_strategy_that_stopped_at_an_error_is_named_once(empty, trade):
    empty.strategy.write_text("class Bad:\n    def on_trade(self, trade, last):\n        1 / 0\n")
    epoch = empty.record([[trade(1)], [trade(2)], [trade(3)]], run="monday")
    empty.decide("monday", epoch)
    empty.store()

    one(reasons(empty), r"^tens: stopped itself: .*ZeroDivisionError.*\(tens.py:3\)$")


def test_damage_in_a_strategys_journal_is_named(made):
    path = sorted(made.directory.decision_journal("tens").glob("*.seg"))[-1]
    path.write_bytes(path.read_bytes()[:-3])

    assert [w for w in reasons(made) if w.startswith("tens: torn end at epoch 0")]


# What stands around.


def test_a_recorder_at_work_is_said(made):
    with FileLock(made.directory.lock):
        one(reasons(made), "^the recorder is still at work on it$")


def test_a_run_without_its_config_is_a_config_error(made):
    made.directory.config.unlink()

    with pytest.raises(ConfigError, match=r"run.toml: cannot be read"):
        made.check()


def test_a_feed_without_an_entry_is_a_config_error_with_the_cure(made):
    journal = made.directory.feed_journal("sip")
    shutil.copytree(journal, made.directory.feed_journal("other"))

    with pytest.raises(ConfigError, match="feed 'other' has a journal and no entry"):
        made.check()


def test_mapped_files_are_not_believed(made):
    for path in made.directory.live.iterdir():
        path.unlink()

    assert reasons(made) == []


def test_checking_changes_nothing(made):
    def prints():
        return {
            path: path.read_bytes()
            for path in sorted(made.directory.root.rglob("*"))
            if path.is_file() and path.suffix != ".lock"
        }

    before = prints()
    made.check()

    assert prints() == before


def test_an_empty_run_is_complete_and_empty(empty):
    with Writer(empty.directory.journal("sip"), empty.directory.positions("sip")):
        pass

    assert empty.check().totals()["received"] == 0


# What the healer asked for, by its own entries.


class Stood(World):
    """A run that says how long its subscription stood."""

    def say(self, writer, at_ns, **content):
        if content["event"] == "stopped":
            content |= {"down_since_ns": at_ns}
        super().say(writer, at_ns, **content)


def bench_at(world, lag_ns):
    return Bench(world, at_ns=GAP[1] + lag_ns + 60 * S)


def judged(world, tmp_path):
    """The verdict of the feed, and its part of the day's certificate."""
    bring_in(world.run)
    verdict = check(world.run, tmp_path / "one", lambda *_: None)
    found = examine(world.run, tmp_path / "two", lambda *_: None, hashed=True)
    part = certificates(found, found.days()[:1])[0]["feeds"]["iex"]
    return next(each for each in verdict.feeds if each.name == "iex"), part


def spans_of(part, symbol, share, channel="trades"):
    (stream,) = (
        each for each in part["streams"] if each["channel"] == channel and symbol in each["symbols"]
    )
    return [tuple(span) for span in stream["spans"].get(share, ())]


@pytest.mark.parametrize("lag_ns", [LAG_NS, 15 * S, 900 * S], ids=["live", "15 s", "15 min"])
def test_a_healed_gap_is_told_by_the_times_of_the_venue_however_late_the_feed_is(tmp_path, lag_ns):
    world = Stood(tmp_path / "run")
    world.record(lag_ns=lag_ns)
    bench = bench_at(world, lag_ns)
    bench.until_idle()
    bench.healer.close()

    feed, part = judged(world, tmp_path)

    lost = sum(trades_in(TAPE, *GAP).values())
    assert sum(each.number for each in feed.lacking if each.kind == "trades") == lost
    assert all(each.in_gap for each in feed.lacking)
    assert feed.only_streamed == {}
    # All symbols were subscribed: those that were seen are healed, of the others nobody knows.
    gap = (GAP[0] + lag_ns, GAP[1] + lag_ns)
    assert all(spans_of(part, symbol, "healed") == [gap] for symbol in TAPE.symbols)
    assert spans_of(part, "*", "healed") == []
    assert gap[0] < spans_of(part, "*", "unverifiable")[0][1]


@pytest.mark.parametrize("lag_ns", [LAG_NS, 900 * S], ids=["live", "15 min"])
def test_what_was_compared_is_verified_but_not_the_symbols_that_rest_refused(tmp_path, lag_ns):
    world = Stood(tmp_path / "run", bars=["*"])
    world.channels = {"trades": [*TAPE.symbols, "N-OPE"], "bars": ["*"]}
    refused = TAPE.symbols[0]
    world.record(cut=(0, 0), lag_ns=lag_ns)
    bench = bench_at(world, lag_ns)

    def spoil(path, query):
        if refused in query["symbols"].split(","):
            return Answer(400, {}, b'{"message":"invalid symbol: %s"}' % refused.encode())
        return None

    bench.client.spoil = spoil
    symbols = sorted(TAPE.symbols)
    bench.healer.compare(START_NS, START_NS + 25 * S, {"trades": symbols, "bars": symbols})
    bench.until_idle()
    bench.healer.close()

    feed, part = judged(world, tmp_path)

    assert (feed.lacking, feed.only_streamed) == ((), {})
    other = TAPE.symbols[1]
    ((_, to_ns),) = spans_of(part, other, "verified")
    assert abs(to_ns - (START_NS + 25 * S + lag_ns)) < S
    assert spans_of(part, refused, "verified") == []


def test_what_is_decided_and_stored_while_it_is_read_is_not_called_a_stranger(made, trade):
    """The strategy's journal is read first, and its table must not be looked at later."""
    grown = []

    def progress(name, _):
        if name == "sip" and not grown:
            grown.append(True)
            epoch = made.record([[trade(500 + n)] for n in range(40)], run="later")
            made.decide("later", epoch)
            made.store()

    (made.folder / "scratch").mkdir()
    verdict = check(made.directory, made.folder / "scratch", progress)

    assert grown
    assert not [each for each in verdict.reasons() if "not in the journal" in each]
