"""The public API on the demo run; and what importing it costs."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

import ticktape
from ticktape.errors import ConfigError, TickTapeError
from ticktape.tape import instant_ns

CLOSE_NS = 1381262400_000_000_000  # 16:00 in New York on 2013-10-08


@pytest.fixture
def tape(demo):
    with ticktape.open(demo) as opened:
        yield opened


def loaded_after(statement):
    ask = f"import sys; {statement}; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in ran.stdout.split()}


def test_importing_ticktape_imports_nothing_heavy():
    assert loaded_after("import ticktape") & {"pyarrow", "duckdb", "deltalake", "numpy"} == set()


def test_a_capture_process_loads_neither_tables_nor_sql():
    """Its start and its memory are paid per feed."""
    loaded = loaded_after("import ticktape.recorder.capture_child")
    assert loaded & {"pyarrow", "duckdb", "deltalake", "rich", "cyclopts"} == set()


def test_the_module_says_what_is_public():
    assert {"open", "Tape", "record", "simulate_alpaca"} <= set(dir(ticktape))
    assert all(getattr(ticktape, name) is not None for name in dir(ticktape))
    with pytest.raises(AttributeError, match="nosuch"):
        _ = ticktape.nosuch


def test_open_refuses_a_directory_without_a_run(tmp_path):
    with pytest.raises(ConfigError, match="no ticktape run here"):
        ticktape.open(tmp_path)


def test_trades_of_a_symbol_between_two_moments(tape):
    after = tape.trades("IBM", start="2013-10-08T16:00:00-04:00")
    before = tape.trades("IBM", end=CLOSE_NS)
    assert after.num_rows + before.num_rows == 1_295
    assert min(after["event_ns"].to_pylist()) >= CLOSE_NS > max(before["event_ns"].to_pylist())
    assert before["event_ns"].to_pylist() == sorted(before["event_ns"].to_pylist())
    assert tape.trades().num_rows == 31_348
    assert tape.quotes("IBM").num_rows == 4_886
    assert tape.bars().num_rows == 0
    books = tape.books("BTCUSDT")
    assert books.num_rows > 100
    assert tape.last["BTCUSDT"].book.ask_prices == tuple(books["ask_prices"][-1].as_py())
    assert tape.ticks("BTCUSDT").num_rows > 0


def test_sql_gives_arrow_and_its_faults_a_hint(tape):
    assert tape.sql("select count(*) as n from trades")["n"].to_pylist() == [31_348]
    with pytest.raises(TickTapeError) as fault:
        tape.sql("select nosuch from trades")
    assert "event_ns" in fault.value.hint


def test_last_values_latency_gaps_and_proof(tape):
    assert tape.feeds == {"mt5": "mt5", "sip": "alpaca"}
    assert tape.last["IBM"].trade.price == 179.6
    assert tape.last["sip", "IBM"].quote.bid_price == 178.8
    assert tape.latency()["recv_to_written"]["count"] >= 36_234
    # That a busy machine was silent for a while may be suspected; nothing more is known of it.
    gaps = [gap for gap in tape.gaps().to_pylist() if gap["state"] != "suspect"]
    assert [gap["planned"] for gap in gaps] == [True, True]
    verdict = tape.check()
    assert verdict.complete
    assert verdict.feeds[1].total("received") == 36_234
    assert verdict.last_line().startswith("COMPLETE  received ")


def test_replay_gives_every_record_once_in_the_order_of_receipt(tape):
    places, kinds = [], {}
    for record in tape.replay():
        kinds[record.kind] = kinds.get(record.kind, 0) + 1
        places.append((record.recv_ns, record.epoch, record.seq, record.index))
    assert {"trades": 31_348, "quotes": 4_886}.items() <= kinds.items()
    assert places == sorted(set(places))


def test_a_follower_from_the_beginning_gives_what_a_replay_gives(tape):
    followed, replayed = tape.follow(start=0), tape.replay()
    assert all(mine == theirs for mine, theirs in zip(followed, replayed, strict=True))
    assert list(tape.follow()) == []


def test_a_tape_may_be_closed_twice_and_used_again(demo):
    tape = ticktape.open(demo)
    assert tape.last["IBM"].trade is not None
    tape.close()
    tape.close()
    assert tape.last["IBM"].trade is not None
    tape.close()


@pytest.mark.parametrize(
    ("given", "ns"),
    [
        (5, 5),
        ("2013-10-08T20:00:00Z", CLOSE_NS),
        ("2013-10-08 16:00:00.000000001-04:00", CLOSE_NS + 1),
        ("2013-10-08T20:00:00.5", CLOSE_NS + 500_000_000),
        ("1969-12-31T23:59:59.75Z", -250_000_000),
        ("2013-10-08", CLOSE_NS - 20 * 3_600_000_000_000),
        (datetime(2013, 10, 8, 20, 0, 0, 123456, tzinfo=UTC), CLOSE_NS + 123_456_000),
        (datetime(2013, 10, 8, 20), CLOSE_NS),  # noqa: DTZ001 - without an offset it is UTC
    ],
)
def test_a_moment_keeps_its_nanoseconds(given, ns):
    assert instant_ns(given) == ns


@pytest.mark.parametrize("given", ["soon", "", "16:00", "2013-10-08T20:00:00.Z", "2013-13-01"])
def test_a_text_that_is_no_moment_is_refused(given):
    with pytest.raises(ConfigError, match="no moment"):
        instant_ns(given)


def test_sql_as_of_a_moment_shows_what_had_been_received_by_then(tape):
    count = "select count(*) as n from trades"
    received = tape.sql("select min(recv_ns) as first, max(recv_ns) as last from trades")
    first, last = (received[name][0].as_py() for name in ("first", "last"))
    assert tape.sql(count, as_of=first - 1)["n"][0].as_py() == 0
    half = tape.sql(count, as_of=(first + last) // 2)["n"][0].as_py()
    assert 0 < half < tape.sql(count, as_of=last)["n"][0].as_py() == tape.trades().num_rows
