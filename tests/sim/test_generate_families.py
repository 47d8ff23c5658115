"""What made-up tapes of each family hold, and that a seed means the same for ever."""

import re

import numpy as np
import pytest

from ticktape.sim.families import CRYPTO, FAMILIES, NEWS, OPTIONS, STOCKS
from ticktape.sim.generate import generate_family
from ticktape.sim.tape import BAR_NS

MINUTE_DUE_NS = BAR_NS + 500_000_000


def made(family, seed=1, events=6000, events_per_s=20, symbols=4):
    return generate_family(
        family,
        seed=seed,
        symbols=symbols,
        events=events,
        events_per_s=events_per_s,
        long_ids=False,
    )


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_same_seed_same_tape_of_every_kind(family):
    one, two, other = made(family), made(family), made(family, seed=2)
    assert set(one.tables) == set(family.kinds)
    for kind, table in one.tables.items():
        assert table.equals(two.tables[kind]) and not table.equals(other.tables[kind])
    assert one.due_ns.tolist() == two.due_ns.tolist()


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("events", [0, 1, 7])
def test_tiny_tapes_are_tapes(family, events):
    assert len(made(family, events=events, symbols=1)) >= events


def test_halts_alternate_with_resumptions():
    tape = made(STOCKS)
    seen = set()
    for row in tape.tables["statuses"].to_pylist():
        resumes = row["status_code"] in ("T", "Q")
        assert resumes is (row["symbol"] in seen)
        seen ^= {row["symbol"]}
    assert "" in tape.tables["statuses"]["reason_message"].to_pylist()
    for row in tape.tables["lulds"].to_pylist():
        assert 0 < row["limit_down"] < row["limit_up"]


def test_bars_of_all_spans_agree():
    for family in (STOCKS, CRYPTO):
        rows = made(family).tables["bars"].to_pylist()
        minutes = {(r["symbol"], r["event_ns"]): r for r in rows if r["span"] == "minute"}
        updated = [r for r in rows if r["span"] == "updated"]
        assert updated and len(updated) < len(minutes) / 2
        for row in updated:
            assert row["volume"] > minutes[row["symbol"], row["event_ns"]]["volume"]
        days = [r for r in rows if r["span"] == "day"]
        assert len(days) == len(minutes) and len({r["event_ns"] for r in days}) == 1
        for symbol in {r["symbol"] for r in days}:
            mine = [r for r in minutes.values() if r["symbol"] == symbol]
            last = [r for r in days if r["symbol"] == symbol][-1]
            assert last["trade_count"] == sum(r["trade_count"] for r in mine)
            assert last["volume"] == pytest.approx(sum(r["volume"] for r in mine))
            assert last["high"] == max(r["high"] for r in mine)


def test_crypto_has_bars_of_nothing_and_fractions_and_long_ids():
    tape = made(CRYPTO)
    bars = tape.tables["bars"].to_pylist()
    quiet = [row for row in bars if row["span"] == "minute" and row["trade_count"] == 0]
    assert quiet and all(row["volume"] == row["vwap"] == 0 < row["open"] for row in quiet)
    trades = tape.tables["trades"].to_pylist()
    ids = [row["id"] for row in trades]
    assert ids == sorted(set(ids)) and {len(str(number)) for number in ids} == {19}
    assert {row["taker_side"] for row in trades} == {"B", "S", "-"}
    assert any(row["size"] % 1 for row in trades)
    assert {row["exchange"] + row["tape"] + row["conditions"] for row in trades} == {""}
    assert all("/" in symbol for symbol in tape.symbols)


def test_options_are_named_as_the_occ_does_and_have_no_ids():
    tape = made(OPTIONS, symbols=9)
    assert len(tape.symbols) == 9
    assert all(re.fullmatch(r"[A-Z]{1,6}\d{6}[CP]\d{8}", name) for name in tape.symbols)
    assert tape.tables["trades"]["id"].null_count == tape.tables["trades"].num_rows
    sizes = tape.tables["quotes"]["bid_size"].to_numpy()
    assert np.all(sizes % 1 == 0) and 0 in sizes
    assert not any("," in codes for codes in tape.tables["trades"]["conditions"].to_pylist())


def test_articles_are_html_some_are_about_nobody_and_some_come_again():
    rows = made(NEWS, events=30_000).tables["news"].to_pylist()
    assert all(row["content"].startswith("<p>") for row in rows)
    assert any(not row["symbols"] for row in rows) and any(len(r["symbols"]) > 1 for r in rows)
    by_id = {}
    again = 0
    for row in rows:
        before = by_id.get(row["id"])
        if before is not None:
            again += 1
            assert row["updated_ns"] > before["updated_ns"]
            assert row["created_ns"] == before["created_ns"]
            assert row["content"] != before["content"]
        assert row["event_ns"] == row["updated_ns"] >= row["created_ns"]
        assert row["symbol"] == (row["symbols"] or [""])[0]
        by_id[row["id"]] = row
    assert again == 3


def test_zero_bars_leave_after_their_minute_like_all_others():
    tape = made(CRYPTO)
    bars = tape.tables["bars"].to_pylist()
    for row, due_ns in zip(bars, tape.due_of("bars").tolist(), strict=True):
        if row["span"] == "minute":
            assert due_ns == row["event_ns"] + MINUTE_DUE_NS
