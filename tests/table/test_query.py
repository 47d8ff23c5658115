import os
from pathlib import Path

import pytest

from ticktape.errors import TickTapeError
from ticktape.records import Position
from ticktape.schemas import KINDS
from ticktape.table import TableBuilder, TableStore, Tally, connect, run_sql
from ticktape.table.query import RAW


@pytest.fixture
def ask(tmp_path, tape):
    """Answers of a query over messages: those before None are committed, the rest are not yet."""

    def answer(text, *messages, as_of_ns=None):
        at = messages.index(None) if None in messages else 0
        committed, tail = messages[:at], [m for m in messages[at:] if m is not None]
        builder = TableBuilder(TableStore(tmp_path), {"sip": tape.Decoder("sip")})
        builder.start_position("sip", None)
        builder.add("sip", [tape.block(list(committed), 0)])
        builder.commit()
        store = TableStore(tmp_path, read_only=True)
        reader = TableBuilder(store, {"sip": tape.Decoder("sip")})
        reader.start_position("sip", Position(1, 100))
        reader.add("sip", [tape.block(list(tail), 1)])
        with connect(store, reader.tails(), as_of_ns) as con:
            return [tuple(row.values()) for row in run_sql(con, text).to_pylist()]

    return answer


def cancel(id_, *, at, price=10.0, size=5.0, exchange="V"):
    values = {"symbol": "A", "event_ns": at, "exchange": exchange, "id": id_}
    return ["cancels", values | {"price": price, "size": size, "action": "C"}]


def correction(id_, new_id, new_price, *, at, price=10.0, size=5.0):
    old = {"original_id": id_, "original_price": price, "original_size": size}
    new = {"corrected_id": new_id, "corrected_price": new_price, "corrected_size": 7.0}
    place = {"symbol": "A", "event_ns": at, "exchange": "V", "corrected_conditions": "Z"}
    return ["corrections", place | old | new]


def test_committed_and_pending_rows_are_seen_once_each(ask, tape):
    messages = [tape.trade(1, at=5), tape.trade(2, at=6), None, tape.trade(2, at=6), tape.trade(3)]
    assert ask("select id from trades order by id", *messages) == [(1,), (2,), (3,)]


def test_every_kind_is_a_view_with_its_columns_even_when_empty(tmp_path):
    con = connect(TableStore(tmp_path, read_only=True))
    for kind, schema in KINDS.items():
        found = run_sql(con, f"select * from {kind}")
        assert found.num_rows == 0
        assert found.schema.names == [*schema.names, "day"]
        assert [f.type for f in found.schema][:-1] == [f.type for f in schema]


# More takes longer than the answer.


def views_for(root, text):
    with connect(TableStore(root, read_only=True), asked=text) as con:
        run_sql(con, text)
        found = con.execute("select view_name from duckdb_views() where not internal").fetchall()
    return {name for (name,) in found}


def test_only_the_views_that_a_text_names_are_made(tmp_path):
    text = "select a.id, b.open from TRADES a, (select * from bars) b"
    made = views_for(tmp_path, text)
    assert made >= {"trades", "bars"}
    assert not made & {"quotes", "books", "news", "trades_raw", "trades_merged"}


def test_a_text_that_makes_timestamps_names_its_views_too(tmp_path):
    assert "quotes" not in views_for(tmp_path, "select ts(event_ns) from trades")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
@pytest.mark.timeout(60)
def test_to_find_the_names_in_a_text_no_file_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")  # who opens it waits for ever
    text = f"select * from read_csv('{tmp_path}/pipe.csv'), trades"
    with (
        connect(TableStore(tmp_path, read_only=True), asked=text) as con,
        pytest.raises(TickTapeError, match="disabled"),
    ):
        run_sql(con, text)


@pytest.mark.parametrize(
    "text",
    [
        "show tables",
        "select * from trades, (show tables)",
        "select * from trades, duckdb_views()",
        "select * from information_schema.tables",
        "create table mine as select * from trades; select * from mine",
        "pivot trades on symbol using sum(size)",
    ],
)
def test_a_text_that_may_ask_for_any_view_finds_them_all(tmp_path, text):
    every = {*KINDS, "levels", "trades_merged", *(f"{kind}_raw" for kind in RAW)}
    assert views_for(tmp_path, text) >= every


@pytest.mark.parametrize("name", [*KINDS, "levels", "trades_merged", *(f"{k}_raw" for k in RAW)])
def test_each_view_can_be_asked_for_alone(tmp_path, name):
    assert name in views_for(tmp_path, f"select * from {name}")


def test_the_day_is_the_same_for_committed_and_pending_rows(ask, tape):
    day = 86_400 * 10**9
    messages = [tape.trade(1, at=day), None, tape.trade(2, at=2 * day - 1), tape.trade(3, at=-1)]
    assert ask("select day, id from trades order by id", *messages) == [
        ("1970-01-02", 1),
        ("1970-01-02", 2),
        ("1969-12-31", 3),
    ]


def test_the_last_times_of_int64_have_a_day_as_others_have(ask, tape):
    ends = (2**63 - 1, 1 - 2**63)
    messages = [tape.trade(id_, at=at) for id_ in (1, 2) for at in ends]
    messages.insert(2, None)
    days = [("2262-04-11",), ("1677-09-21",)] * 2
    assert ask("select day from trades order by id, event_ns desc", *messages) == days
    found = ask("select day from trades where id = 2 and day = '2262-04-11'", *messages)
    assert found == days[:1]


def test_ts_keeps_the_nanoseconds(ask, tape):
    messages = [tape.trade(1, at=1_614_009_104_335_689_322)]
    assert ask("select ts(event_ns)::varchar from trades", *messages) == [
        ("2021-02-22 15:51:44.335689322",)
    ]


LEFT = "select id, price, size, conditions from trades order by seq, index"


def test_a_cancelled_trade_is_out_of_trades_and_stays_in_trades_raw(ask, tape):
    messages = [tape.trade(1, at=5), None, tape.trade(2, at=6), cancel(1, at=9), cancel(2, at=9)]
    assert ask(LEFT, *messages) == []
    assert ask("select id from trades_raw order by id", *messages) == [(1,), (2,)]


def test_as_of_a_moment_later_cancels_corrections_and_rows_were_not_known_yet(ask, tape):
    """Committed rows were received at 0 s, the others at 1 s."""
    messages = [tape.trade(1, at=5), tape.trade(2, at=6), cancel(2, at=8), None]
    messages += [tape.trade(3, at=7), cancel(1, at=9)]
    ids = "select id from trades order by id"
    assert ask(ids, *messages) == [(3,)]
    assert ask(ids, *messages, as_of_ns=tape.SECOND) == [(3,)]
    assert ask(ids, *messages, as_of_ns=tape.SECOND - 1) == [(1,)]
    assert ask(ids, *messages, as_of_ns=-1) == []
    corrected = [tape.trade(1, at=5), None, correction(1, 11, 10.5, at=9)]
    assert ask(LEFT, *corrected, as_of_ns=0) == [(1, 10.0, 5.0, "")]
    assert ask(LEFT, *corrected) == [(11, 10.5, 7.0, "Z")]


def test_a_corrected_trade_has_the_new_values_and_its_own_time(ask, tape):
    messages = [tape.trade(1, at=5), tape.trade(2, at=6), None, correction(1, 11, 10.5, at=9)]
    assert ask(LEFT, *messages) == [(11, 10.5, 7.0, "Z"), (2, 10.0, 5.0, "")]
    assert ask("select event_ns from trades where id = 11", *messages) == [(5,)]


def test_a_correction_is_corrected_and_then_cancelled_in_the_venues_order(ask, tape):
    chain = [
        cancel(12, at=30, price=10.6, size=7.0),
        correction(11, 12, 10.6, at=20, price=10.5, size=7.0),
        correction(1, 11, 10.5, at=10),
    ]
    assert ask(LEFT, tape.trade(1, at=5), None, *chain[1:]) == [(12, 10.6, 7.0, "Z")]
    assert ask(LEFT, tape.trade(1, at=5), None, *chain) == []


def test_among_trades_of_one_id_price_and_size_choose(ask, tape):
    messages = [
        tape.trade(7005, at=5, exchange="D"),
        tape.trade(7005, at=8, exchange="D", price=11.0),
        tape.trade(7005, at=8),
        None,
        cancel(7005, at=9, exchange="D"),
    ]
    assert ask("select price, exchange from trades order by index", *messages) == [
        (11.0, "D"),
        (10.0, "V"),
    ]


def test_a_cancel_that_fits_none_of_several_trades_takes_none(ask, tape):
    messages = [tape.trade(1, at=5, price=1.0), tape.trade(1, at=6, price=2.0), cancel(1, at=9)]
    assert len(ask(LEFT, *messages)) == 2


def test_an_id_used_again_on_another_day_is_not_cancelled_with_it(ask, tape):
    today, before = 10 * 86_400 * 10**9, 5 * 86_400 * 10**9
    messages = [tape.trade(1, at=before), tape.trade(1, at=today), cancel(1, at=today + 9)]
    assert ask("select event_ns from trades", *messages) == [(before,)]
    gone = [tape.trade(1, at=before, price=3.0), cancel(1, at=today + 9)]
    assert len(ask("select id from trades", *gone)) == 1


def test_a_cancel_said_twice_takes_one_trade(ask, tape):
    messages = [tape.trade(1, at=4, exchange="D"), tape.trade(1, at=5, exchange="D", price=9.0)]
    said = cancel(1, at=9, exchange="D")
    assert ask("select price from trades", *messages, said, None, said) == [(9.0,)]


def test_a_replacement_that_came_as_a_trade_itself_is_not_doubled(ask, tape):
    messages = [
        tape.trade(1, at=5),
        tape.trade(11, at=6, price=10.5, size=7.0),
        correction(1, 11, 10.5, at=9),
    ]
    assert ask(LEFT, *messages) == [(11, 10.5, 7.0, "")]


def test_a_cancel_without_its_trade_changes_nothing(ask, tape):
    assert ask(LEFT, tape.trade(1, at=5), None, cancel(2, at=9)) == [(1, 10.0, 5.0, "")]


def test_a_gap_is_shown_once_and_its_end_wins(ask):
    def gap(from_ns, to_ns, state="open", symbol=""):
        values = {"event_ns": from_ns, "from_ns": from_ns, "to_ns": to_ns, "state": state}
        return ["gaps", values | {"symbol": symbol}]

    messages = [
        gap(1, None),
        gap(1, 9),
        None,
        gap(1, 9, "healed"),
        gap(1, None),
        gap(5, None),
        gap(1, 2, symbol="A"),
    ]
    assert ask("select symbol, from_ns, to_ns, state from gaps order by all", *messages) == [
        ("", 1, 9, "healed"),
        ("", 5, None, "open"),
        ("A", 1, 2, "open"),
    ]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("select * from trade", "trades_raw"),
        ("select pric from trades", "price"),
        ("selec 1", "Tables: trades"),
        ("select * from '/etc/passwd'", "Tables"),
        ("select * from read_csv('/etc/passwd')", "Tables"),
        ("copy trades to 'x.csv'", "Tables"),
        ("set enable_external_access = true", "Tables"),
        ("drop view nothing_such", "Tables"),
    ],
)
def test_what_cannot_be_asked_is_answered_with_what_there_is(tmp_path, text, hint):
    with (
        connect(TableStore(tmp_path, read_only=True)) as con,
        pytest.raises(TickTapeError) as caught,
    ):
        run_sql(con, text)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "copy (select 1) to '{}' (use_tmp_file false)",
        "COPY (select 1) to '{}' (format csv, use_tmp_file false)",
        "explain analyze copy (select 1) to '{}' (use_tmp_file false)",
        "prepare it as copy (select 1) to '{}' (use_tmp_file false); execute it",
        "select 1; copy trades to '{}' (use_tmp_file false)",
        "copy (select 1) to '{}'",
        "export database '{}'",
    ],
)
def test_no_query_writes_over_the_files_that_it_may_read(tmp_path, tape, text):
    rows = tape.table_of("trades", [tape.trade(1)[1] | {"feed": "sip"}])
    TableStore(tmp_path).append("trades", rows, "sip", Position(1, 1), Tally(1))
    (path,) = TableStore(tmp_path, read_only=True).files("trades")
    before = Path(path).read_bytes()
    text = text.format(path)
    with connect(TableStore(tmp_path, read_only=True), asked=text) as con:
        with pytest.raises(TickTapeError, match="cannot write"):
            run_sql(con, text)
        assert run_sql(con, "select 'copy' as copy, id from trades").num_rows == 1
    assert Path(path).read_bytes() == before


def test_a_statement_without_a_result_gives_an_empty_table(tmp_path):
    with connect(TableStore(tmp_path, read_only=True)) as con:
        assert run_sql(con, "create table mine (x int)").num_rows == 0


def test_a_directory_of_any_name_can_be_asked(tmp_path, tape):
    directory = tmp_path / "a b'[x]*#c=d"
    rows = tape.table_of("trades", [tape.trade(1)[1] | {"feed": "sip"}])
    TableStore(directory).append("trades", rows, "sip", Position(1, 1), Tally(1))
    with connect(TableStore(directory, read_only=True)) as con:
        assert run_sql(con, "select id from trades").to_pylist() == [{"id": 1}]


@pytest.mark.parametrize("kind", RAW)
def test_what_is_stored_has_a_view_of_its_own(tmp_path, kind):
    with connect(TableStore(tmp_path, read_only=True)) as con:
        columns = run_sql(con, f"select * from {kind}_raw").schema
        assert columns == run_sql(con, f"select * from {kind}").schema
