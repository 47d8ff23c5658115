"""What each trick does to a tape, and that it is the same for a seed."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ticktape.errors import ConfigError
from ticktape.sim.families import CRYPTO, NEWS
from ticktape.sim.faults import FAULTS, Strikes, parse_faults
from ticktape.sim.generate import generate_tape
from ticktape.sim.tape import COLUMNS, Tape
from ticktape.sim.tricks import TRICKS, play_tricks, unsent_rows

NS_PER_S = 10**9
PATH = "/v2/iex"


@pytest.fixture(scope="module")
def tape():
    return generate_tape(seed=5, symbols=4, events=4000, events_per_s=50)


@pytest.fixture(scope="module")
def crypto():
    bars = generate_tape(seed=5, symbols=("BTC/USD", "ETH/USD"), events=4000, events_per_s=5)
    return Tape({"bars": bars.tables["bars"]}, CRYPTO.name)


@pytest.fixture(scope="module")
def news():
    count = 40
    columns = {
        "symbol": ["SPY"] * count,
        "event_ns": range(count),
        "id": range(1, count + 1),
        **dict.fromkeys(
            ("headline", "summary", "author", "source", "url", "content"), ["x"] * count
        ),
        "symbols": [["SPY", "IBM"]] * count,
        "created_ns": range(count),
        "updated_ns": range(count),
    }
    return Tape({"news": pa.table(columns, schema=COLUMNS["news"])}, NEWS.name)


def play(tape, *texts, seed=1, path=PATH):
    return play_tricks({path: tape}, parse_faults(texts), seed)[path]


def rows(tape, kind="trades"):
    return tape.tables[kind].to_pylist() if kind in tape.tables else []


def new_rows(before, after, kind):
    """The rows that `after` has more, with when each is sent."""
    old = Counter(map(str, rows(before, kind)))
    found = []
    for row, due_ns in zip(rows(after, kind), after.due_of(kind), strict=True):
        if old[str(row)]:
            old[str(row)] -= 1
        else:
            found.append((row, int(due_ns)))
    return found


def places(tape, kind):
    """(symbol, exchange, id) -> the places in the tape."""
    found = {}
    for place, row in zip(tape.places(kind), rows(tape, kind), strict=True):
        found.setdefault((row["symbol"], row["exchange"], row["id"]), []).append(int(place))
    return found


def same(one, other):
    return one.tables == other.tables and np.array_equal(one.due_ns, other.due_ns)


def test_every_trick_of_the_menu_is_there():
    assert set(TRICKS) == {n for n, entry in FAULTS.items() if entry.strikes is Strikes.TAPE}


@pytest.mark.parametrize("name", TRICKS)
def test_trick_is_the_same_for_a_seed_and_leaves_a_tape_in_order(tape, crypto, news, name):
    on = {"zero_bars": crypto, "empty_news": news}.get(name, tape)
    made, again = play(on, f"{name}=3"), play(on, f"{name}=3")
    assert same(made, again) and not same(made, on)
    assert np.all(np.diff(made.due_ns) >= 0)
    if name != "daily_bar_repeats":  # which leaves nothing to chance
        assert not same(made, play(on, f"{name}=3", seed=2))


@pytest.mark.parametrize("name", TRICKS)
def test_trick_is_also_in_the_next_pass(tape, crypto, news, name):
    on = {"zero_bars": crypto, "empty_news": news}.get(name, tape)
    made = play(on, f"{name}=3")
    later = made.again(1)
    assert np.array_equal(np.diff(later.due_ns), np.diff(made.due_ns))
    assert later.due_ns[0] > made.due_ns[-1]
    assert np.array_equal(later.kind_codes, made.kind_codes)


def test_out_of_order_swaps_neighbours_of_a_symbol_and_loses_none(tape):
    made = play(tape, "out_of_order=10")
    assert Counter(map(str, rows(made))) == Counter(map(str, rows(tape)))
    assert np.array_equal(made.due_ns, tape.due_ns)
    back = 0
    for symbol in tape.symbols:
        times = [row["event_ns"] for row in rows(made) if row["symbol"] == symbol]
        back += int(np.sum(np.diff(times) < 0))
    assert back == pytest.approx(len(rows(tape)) / 20, rel=0.1)  # pairs of them


def test_late_trades_come_seconds_after_their_time(tape):
    made = play(tape, "late=5")
    lag = made.due_of("trades") - made.tables["trades"]["event_ns"].to_numpy()
    late = lag[lag > 0]
    assert len(late) == round(len(rows(tape)) / 20)
    assert late.min() >= NS_PER_S and late.max() <= 10 * NS_PER_S
    assert Counter(map(str, rows(made))) == Counter(map(str, rows(tape)))


def test_duplicates_are_whole_copies(tape):
    made = play(tape, "duplicates=5")
    again = new_rows(tape, made, "trades")
    assert len(again) == round(len(rows(tape)) / 20)
    assert {str(row) for row, _ in again} <= set(map(str, rows(tape)))
    counts = Counter(map(str, rows(made)))
    assert set(counts.values()) == {1, 2}


@pytest.mark.parametrize("place", ["after", "before", "without"])
def test_changes_stand_where_their_name_says(tape, place):
    made = play(tape, f"changes_{place}=5")
    trades = places(made, "trades")
    changes = []
    for kind, key in (("corrections", "original_id"), ("cancels", "id")):
        found = new_rows(tape, made, kind)
        assert len(found) >= round(len(rows(tape)) / 20) // 2
        where = dict(zip(map(str, rows(made, kind)), made.places(kind), strict=True))
        changes += [((r["symbol"], r["exchange"], r[key]), where[str(r)]) for r, _ in found]
    for key, at in changes:
        if place == "without":
            assert key not in trades
        elif place == "before":
            assert all(at < trade for trade in trades[key])
        else:
            assert all(at > trade for trade in trades[key])


def test_corrections_have_new_ids_that_no_trade_has(tape):
    made = play(tape, "changes_after=20", "changes_without=20")
    ids = [row["corrected_id"] for row, _ in new_rows(tape, made, "corrections")]
    known = {row["id"] for row in rows(made)} | {row["id"] for row in rows(made, "cancels")}
    assert len(ids) > 100 and len(set(ids)) == len(ids) and not known & set(ids)


def test_collisions_share_symbol_exchange_and_id_but_neither_time_nor_price(tape):
    made = play(tape, "id_collisions=5")
    pairs = {}
    for row, _ in new_rows(tape, made, "trades"):
        pairs.setdefault((row["symbol"], row["exchange"], row["id"]), []).append(row)
    assert len(pairs) == round(len(rows(tape)) / 20)
    for (_, exchange, _), (one, other) in pairs.items():
        assert exchange == "D"
        assert one["event_ns"] != other["event_ns"] and one["price"] != other["price"]


def test_null_conditions_are_null_in_trades_and_quotes(tape):
    made = play(tape, "null_conditions=50")
    for kind in ("trades", "quotes"):
        nulls = made.tables[kind]["conditions"].null_count
        assert nulls == round(made.tables[kind].num_rows / 2)


def test_daily_bars_are_repeated_after_the_end_a_minute_apart(tape):
    tape = tape.only({"trades"})
    made = play(tape, "daily_bar_repeats=3")
    added = new_rows(tape, made, "bars")
    assert Counter(row["symbol"] for row, _ in added) == dict.fromkeys(tape.symbols, 3)
    assert len({str(row) for row, _ in added}) == len(tape.symbols)
    end_ns = int(tape.due_ns[-1])
    assert {due_ns - end_ns for _, due_ns in added} == {60 * NS_PER_S * n for n in (1, 2, 3)}
    bar, _ = added[0]
    prices = [row["price"] for row in rows(tape) if row["symbol"] == bar["symbol"]]
    assert (bar["open"], bar["high"], bar["low"], bar["close"], bar["trade_count"]) == (
        *(prices[0], max(prices), min(prices), prices[-1]),
        len(prices),
    )
    assert bar["span"] == "day" and bar["event_ns"] % (86_400 * NS_PER_S) == 5 * 3600 * NS_PER_S


def test_daily_bars_of_the_tape_itself_are_the_ones_repeated(tape):
    bars = tape.tables["bars"]
    days = bars.slice(0, 6).set_column(2, bars.field("span"), pa.array(["day"] * 6))
    days = Tape({"bars": days})
    made = play(days, "daily_bar_repeats=2")
    last = {row["symbol"]: str(row) for row in rows(days, "bars")}
    counts = Counter(map(str, rows(made, "bars")))
    assert sorted(text for text, count in counts.items() if count == 3) == sorted(last.values())


def test_zero_bars_have_prices_and_nothing_traded(crypto):
    made = play(crypto, "zero_bars=50", path="/v1beta3/crypto/us")
    bars = made.tables["bars"]
    zero = bars.filter(pc.equal(bars["volume"], 0))
    assert zero.num_rows == round(bars.num_rows / 2)
    for name in ("trade_count", "vwap"):
        assert pc.max(zero[name]).as_py() == 0
    assert pc.min(zero["open"]).as_py() > 0


def test_empty_news_have_no_symbols_and_go_only_to_who_wants_all(news):
    made = play(news, "empty_news=25", path="/v1beta1/news")
    empty = [row for row in rows(made, "news") if not row["symbols"]]
    assert len(empty) == 10 and {row["symbol"] for row in empty} == {""}
    assert made.mask({"news": frozenset({"SPY"})}).sum() == 30
    assert made.mask({"news": frozenset({"*"})}).sum() == 40


def test_unsent_rows_are_so_many_and_the_same_for_a_seed():
    faults = parse_faults(["silent_drop=25"])
    rows = unsent_rows(faults, 1000, 1)
    assert len(rows) == len(set(rows)) == 250 and rows.max() < 1000
    assert np.array_equal(rows, unsent_rows(faults, 1000, 1))
    assert not np.array_equal(rows, unsent_rows(faults, 1000, 2))
    assert len(unsent_rows((), 1000, 1)) == 0
    assert len(unsent_rows(parse_faults(["silent_drop=60", "silent_drop=60"]), 1000, 1)) > 700


def test_smallest_share_is_one_row(tape):
    assert len(play(tape, "duplicates=0.001")) == len(tape) + 1


def test_tricks_are_played_one_after_the_other(tape):
    both = play(tape, "duplicates=100", "late=100")
    assert len(rows(both)) == 2 * len(rows(tape))
    assert np.all(both.due_of("trades") > both.tables["trades"]["event_ns"].to_numpy())


def test_path_that_was_not_named_keeps_its_tape(tape):
    played = play_tricks({PATH: tape, "/v2/sip": tape}, parse_faults(["late@/v2/sip=5"]))
    assert played[PATH] is tape and not same(played["/v2/sip"], tape)


def test_paths_that_share_a_tape_share_the_new_one(tape, news):
    tapes = {PATH: tape, "/v2/sip": tape, "/v1beta1/news": news}
    played = play_tricks(tapes, parse_faults(["late=5", "duplicates=5"]))
    assert played[PATH] is played["/v2/sip"] and played["/v1beta1/news"] is news


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("zero_bars=5", "no bars of crypto on any path"),
        ("empty_news=5", "no news on any path"),
        ("late@/v2/sip=5", "no trades on /v2/sip"),
    ],
)
def test_trick_that_no_tape_can_take_is_refused(tape, fault, words):
    with pytest.raises(ConfigError, match=words):
        play(tape, fault)


def test_tape_of_fewer_kinds_is_sent_at_the_same_times(tape):
    made = play(tape, "late=5")
    assert np.array_equal(made.only({"trades"}).due_ns, made.due_of("trades"))
