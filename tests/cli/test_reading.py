"""The verbs that read a run, on one demo."""

import csv
import io
import json
import re
import shutil
import sys

import pyarrow as pa
import pyarrow.parquet
import pytest
from rich.console import Console

from ticktape.cli import terminal

TRADES, QUOTES = 31_348, 4_886  # of the shipped tape


def last_json(out):
    return json.loads(out.splitlines()[-1])


def test_check_ends_with_the_equation(said, demo):
    code, out, _ = said("check", demo)
    assert code == 0
    # How many images a poll finds differs from run to run; the stock tape is always the same.
    # That a busy machine was silent for a while may be suspected, which is no gap.
    received = re.fullmatch(
        r"COMPLETE  received ([\d,]+) = stored \1 \+ duplicates 0 \+ dropped 0, "
        r"gaps 0(, suspects \d+)?, torn 0",
        out.splitlines()[-1],
    )
    assert received and int(received[1].replace(",", "")) > 36_234
    assert re.search(r"^sip +alpaca +36,234 +36,234 +0 +0 +0$", out, re.M)
    assert re.search(r"^mt5 BTCUSDT +[\d,]+ +[\d,]+ +[01]\.\d{3} ", out, re.M)
    written = re.search(r"^written .* ([\d,]+)$", out, re.M)
    assert written and int(written[1].replace(",", "")) > 36_000
    assert out.count("1 planned stop") == 2


def test_check_of_a_table_that_lost_a_commit_is_incomplete_and_says_which(said, demo, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(demo, broken)
    max((broken / "table" / "quotes" / "_delta_log").glob("*.json")).unlink()
    code, out, _ = said("check", broken)
    assert code == 1
    assert out.splitlines()[-1].startswith("INCOMPLETE")
    [reason] = [line for line in out.splitlines() if line.startswith("  - ")]
    assert re.search(r" quotes (.* )?are in the journal", reason)
    assert "not in the table (stage stored)" in reason and " of IBM at 2" in reason


def test_check_json_is_one_object_on_the_last_line(said, demo):
    code, out, _ = said("check", demo, "--json")
    assert code == 0
    assert len(out.splitlines()) == 1
    said_of = last_json(out)
    assert said_of["complete"] is True
    assert said_of["feeds"]["sip"]["tables"]["trades"] == TRADES


def test_sql_counts_and_aligns(said, demo):
    question = "select symbol, count(*) as n from trades group by 1 order by 1"
    code, out, _ = said("sql", demo, question)
    assert code == 0
    assert out == "symbol      n\nAIG      1972\nBAC      5595\nIBM      1295\nSPY     22486\n"


def test_sql_keeps_nanoseconds_and_whole_sums_and_equal_names(said, demo):
    question = (
        "select ts(1381262400123456789) as at, sum(size::bigint) as s, 1 as x, 2 as x,"
        " null as nothing, 1/3 as third from trades where symbol = 'AIG'"
    )
    _, out, _ = said("sql", demo, question)
    assert out.splitlines()[1].split() == [
        "2013-10-08",
        "20:00:00.123456789",
        *out.splitlines()[1].split()[2:3],
        "1",
        "2",
        "NULL",
        "0.333333",
    ]
    _, out, _ = said("sql", demo, question, "--json")
    found = last_json(out)
    assert found["columns"] == ["at", "s", "x", "x", "nothing", "third"]
    [row] = found["rows"]
    assert row[0] == "2013-10-08 20:00:00.123456789"
    assert isinstance(row[1], int)
    assert row[2:5] == [1, 2, None]


def test_sql_as_of_a_moment_sees_what_had_been_received_by_then(said, demo):
    _, out, _ = said("sql", demo, "select count(*) as n from trades", "--as-of", "2000-01-01")
    assert out.split() == ["n", "0"]
    _, out, _ = said("sql", demo, "select count(*) as n from trades", "--as-of", "2100-01-01")
    assert out.split() == ["n", str(TRADES)]
    code, _, err = said("sql", demo, "select 1", "--as-of", "yesterday")
    assert code == 2
    assert "'yesterday' is no moment" in err


def test_sql_without_rows_says_so(said, demo):
    _, out, _ = said("sql", demo, "select feed, price from trades where false")
    assert out == "feed  price\n(no rows)\n"


def test_sql_shows_40_rows_and_says_how_to_have_the_rest(said, demo):
    _, out, _ = said("sql", demo, "select id from trades")
    assert len(out.splitlines()) == 42
    assert out.splitlines()[-1] == "… 31,308 more rows; --format csv gives all"


@pytest.mark.parametrize("question", ["selec", "", " ; ", "select nosuch from trades"])
def test_sql_that_is_no_question_ends_with_2(said, demo, question):
    code, out, err = said("sql", demo, question)
    assert (code, out) == (2, "")
    assert err.startswith("ticktape: sql: ")


def test_sql_can_not_make_the_terminal_do_anything(said, demo):
    _, out, _ = said("sql", demo, "select 'a' || chr(27) || '[2J' || chr(10) || 'b' as evil")
    assert out == "evil\na\\x1b[2J\\nb\n"


@pytest.mark.parametrize("format", ["csv", "parquet", "arrow"])
def test_sql_writes_all_rows_in_each_format(demo, format, monkeypatch):
    from ticktape.cli import run

    sink = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(sink))
    assert run(["sql", str(demo), "select * from trades", "--format", format]) == 0
    content = sink.getvalue()
    if format == "csv":
        count = len(list(csv.reader(io.StringIO(content.decode())))) - 1
    elif format == "parquet":
        count = pyarrow.parquet.read_table(io.BytesIO(content)).num_rows
    else:
        count = pa.ipc.open_stream(content).read_all().num_rows
    assert count == TRADES


def test_rows_wider_than_the_terminal_are_shown_upright_and_never_cut(said, demo, monkeypatch):
    narrow = Console(force_terminal=True, width=60, highlight=False, soft_wrap=True, no_color=True)
    monkeypatch.setattr(terminal, "console", narrow)
    _, out, _ = said("sql", demo, "select * from trades where symbol = 'IBM' and id = 349")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if len(line.split()) > 1)
    assert lines["event_ns"] == "1381262449234519454"
    assert "…" not in out


def test_rows_in_a_pipe_are_whole_however_wide(said, demo):
    _, out, _ = said("sql", demo, "select * from trades where symbol = 'IBM' and id = 349")
    assert len(out.splitlines()) == 2
    assert "1381262449234519454" in out


def test_last_shows_the_tapes_last_prices_with_their_age_in_words(said, demo):
    code, out, _ = said("last", demo)
    assert code == 0
    lines = {line.split()[1]: line for line in out.splitlines()[1:]}
    assert set(lines) == {"AIG", "BAC", "BTCUSDT", "IBM", "SPY"}
    assert "20 / 20" in lines["BTCUSDT"]
    assert "179.60" in lines["IBM"]
    assert "2013-10-08 20:00:49 " in lines["IBM"]
    assert re.search(r"\d+ years", lines["IBM"])


def test_last_of_some_and_of_a_stranger(said, demo):
    _, out, _ = said("last", demo, "IBM", "SPY", "--json")
    assert [row["symbol"] for row in last_json(out)["last"]] == ["IBM", "SPY"]
    code, _, err = said("last", demo, "IBM", "NOSUCH")
    assert code == 2
    assert "no last value of NOSUCH" in err
    assert "AIG, BAC, BTCUSDT, IBM, SPY" in err


def test_trace_shows_every_stage_of_one_trade(said, demo):
    code, out, _ = said("trace", demo, "IBM", "349", "--exchange", "D")
    assert code == 0
    stages = [line.split()[0] for line in out.splitlines() if re.match(r"  \w+ +\+", line)]
    assert stages == ["recv", "written", "synced", "last", "decided", "stored"]
    assert "2013-10-08T20:00:49.234519454Z" in out


def test_trace_of_an_id_that_many_exchanges_use_names_them(said, demo):
    _, out, _ = said("trace", demo, "IBM", "1")
    assert out.count("IBM 1: ") == 3
    assert "--exchange" in out.splitlines()[-1]
    _, out, _ = said("trace", demo, "IBM", "1", "--exchange", "Q", "--json")
    assert [path["trade"]["exchange"] for path in last_json(out)["paths"]] == ["Q"]


def test_trace_of_what_is_not_there_names_what_is(said, demo):
    code, _, err = said("trace", demo, "IBM", "999999")
    assert code == 2
    assert "349" in err, "it names ids that there are"
    code, _, err = said("trace", demo, "IBM", "1", "--exchange", "QQ")
    assert code == 2
    assert "It is on: " in err


def test_latency_has_a_unit_with_every_figure_and_names_the_worst(said, demo):
    code, out, _ = said("latency", demo, "--worst", "2")
    assert code == 0
    for stage in ("written", "synced", "last", "decided", "stored"):
        [line] = re.findall(rf"^{stage}   .*$", out.split("slowest in")[0], re.M)
        assert len(re.findall(r"[\d.]+ (?:ns|µs|ms|s)\b", line)) == 4
    assert len(out.split("slowest in")[1].splitlines()) == 11
    _, out, _ = said("latency", demo, "--worst", "2", "--json")
    assert last_json(out)["latency_us"]["recv_to_written"]["count"] >= TRADES + QUOTES
    assert said("latency", demo, "--worst", "-1")[0] == 2


def test_replay_decides_as_live_did(said, demo):
    code, out, _ = said("replay", demo, "--json")
    assert (code, last_json(out)["same"]) == (0, True)
    assert "the same as live" in said("replay", demo)[1]
    assert said("replay", demo, "--speed", "fast")[0] == 2


def test_replay_runs_another_strategy(said, demo, tmp_path):
    file = tmp_path / "counts.py"
    file.write_text(
        "class Counts:\n    def on_quote(self, quote, last):\n        return quote.seq\n"
    )
    code, out, _ = said("replay", demo, "--decide", file)
    assert code == 0
    assert f"counts: {QUOTES:,} decisions" in out


def test_replay_says_what_another_strategy_raised_and_where(said, demo, tmp_path):
    file = tmp_path / "wrong.py"
    file.write_text("class Wrong:\n    def on_trade(self, trade, last):\n        return 1 / 0\n")
    _, out, _ = said("replay", demo, "--decide", file)
    assert "1 error" in out
    assert "ZeroDivisionError: division by zero (wrong.py:3)" in out


def test_replay_of_a_file_that_is_not_there_is_the_callers_mistake(said, demo, tmp_path):
    code, _, err = said("replay", demo, "--decide", tmp_path / "none.py")
    assert (code, "no such strategy file" in err) == (2, True)


def test_export_writes_files_that_have_the_rows(said, demo, tmp_path):
    code, _, _ = said(
        "export", demo, tmp_path / "out", "--kinds", "trades", "quotes", "--where", "symbol = 'IBM'"
    )
    assert code == 0
    assert pyarrow.parquet.read_table(tmp_path / "out" / "trades.parquet").num_rows == 1_295
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "quotes.parquet",
        "trades.parquet",
    ]
    _, out, _ = said("export", demo, tmp_path / "all", "--format", "csv", "--json")
    files = last_json(out)["files"]
    assert files[str(tmp_path / "all" / "trades.csv")] == TRADES


@pytest.mark.parametrize("wrong", [["--kinds", "trade"], ["--where", "nosuch = 1"]])
def test_export_of_what_is_not_there_ends_with_2(said, demo, tmp_path, wrong):
    assert said("export", demo, tmp_path / "out", *wrong)[0] == 2


def test_lists_of_a_book_stand_in_one_cell_of_a_csv_and_short_on_the_terminal(said, demo, tmp_path):
    query = "select ask_prices from books where len(ask_prices) = 20 limit 1"
    _, out, _ = said("sql", demo, query, "--format", "csv")
    name, cell = list(csv.reader(io.StringIO(out)))
    assert name == ["ask_prices"]
    assert len(json.loads(cell[0])) == 20
    _, shown, _ = said("sql", demo, query)
    assert shown.splitlines()[1].endswith("… 20 in all]")
