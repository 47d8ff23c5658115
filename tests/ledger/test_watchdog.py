"""The watchdog of several feeds, on made data and, where it is at hand, on a recorded day."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ticktape.ledger.coded import coded
from ticktape.ledger.sessions import Hours
from ticktape.ledger.watchdog import Watchdog

NS = 1_000_000_000
OPEN = 1_381_239_000 * NS  # 2013-10-08 09:30 in New York
DAY = Path(__file__).parents[3] / "shared" / "data"
TRADES = DAY / "us_trades_20131008.parquet"
QUOTES = DAY / "ibm_quotes_20131007_11.parquet"


def even(rate, seconds, since_s=0, seed=1):
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(0, seconds * NS, int(rate * seconds)))
    return OPEN + since_s * NS + times


def run(watch, feed, recv, *, symbol="AAPL", channel="trades", late_ns=20_000_000, until_ns):
    changes = []
    at = int(recv[0]) if len(recv) else until_ns - NS
    while at < until_ns:
        end = min(at + 2 * NS, until_ns)
        part = recv[slice(*np.searchsorted(recv, [at, end]))]
        changes += watch.observe(feed, channel, coded([symbol] * len(part)), part - late_ns, part)
        changes += watch.advance(feed, end)
        at = end
    return changes


def test_feeds_are_watched_apart():
    watch = Watchdog({"sip": Hours.ALWAYS, "crypto": Hours.ALWAYS})
    end = OPEN + 320 * NS
    assert run(watch, "crypto", even(10, 320), symbol="BTC/USD", until_ns=end) == []
    (alarm,) = run(watch, "sip", even(10, 300), until_ns=end)

    assert (alarm.kind, alarm.feed) == ("mute", "sip")
    assert watch.health("sip").alarms == (alarm,)
    assert watch.health("crypto").alarms == ()


def test_lag_and_silence_come_through_one_door():
    watch = Watchdog({"sip": Hours.ALWAYS})
    run(watch, "sip", even(20, 60), until_ns=OPEN + 60 * NS)
    late = even(20, 30, since_s=60, seed=2)
    (alarm,) = run(watch, "sip", late, late_ns=4 * NS, until_ns=OPEN + 90 * NS)

    assert alarm.kind == "lag"
    assert watch.health("sip").lag.now_ns == pytest.approx(4 * NS, abs=1_000_000)


def test_bars_are_watched_for_silence_and_not_for_lag():
    watch = Watchdog({"sip": Hours.ALWAYS})
    changes = run(
        watch, "sip", even(2, 200), channel="bars", late_ns=60 * NS, until_ns=OPEN + 200 * NS
    )

    assert changes == []
    assert watch.health("sip").lag.prints == 0


def test_what_is_learned_is_json_and_survives_a_restart():
    watch = Watchdog({"sip": Hours.ALWAYS, "old": Hours.ALWAYS})
    run(watch, "sip", even(10, 300), until_ns=OPEN + 300 * NS)
    run(watch, "old", even(10, 300), until_ns=OPEN + 300 * NS)
    saved = json.loads(json.dumps(watch.saved()))

    again = Watchdog({"sip": Hours.ALWAYS, "new": Hours.ALWAYS})
    again.restore(saved)
    again.connected("sip", OPEN + 900 * NS)
    (alarm,) = again.advance("sip", OPEN + 910 * NS)

    assert (alarm.kind, alarm.since_ns) == ("mute", OPEN + 900 * NS)
    assert again.health("sip").lag.usual_ns == watch.health("sip").lag.usual_ns


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"version": 2, "feeds": {}},
        {"version": 1, "feeds": []},
        {"version": 1, "feeds": {"sip": {}}},
        {"version": 1, "feeds": {"sip": {"series": {"trades": [1]}, "lag_ns": 0}}},
        {"version": 1, "feeds": {"sip": {"series": {"trades": {"A": ["x"] * 7}}, "lag_ns": 0}}},
        {"version": 1, "feeds": {"sip": {"series": {}, "lag_ns": "late"}}},
    ],
)
def test_a_memory_that_is_not_one_is_refused(saved):
    with pytest.raises(ValueError, match=r"memory|series|invalid"):
        Watchdog({"sip": Hours.ALWAYS}).restore(saved)


@pytest.fixture(scope="module")
def day():
    """A whole recorded day: (recv_ns, symbol) of trades, and of IBM's quotes."""
    if not (TRADES.exists() and QUOTES.exists()):
        pytest.skip("the recorded day is not at hand")
    trades = pq.read_table(TRADES, columns=["ts_ns", "symbol"])
    quotes = pq.read_table(QUOTES, columns=["ts_ns"])["ts_ns"].to_numpy()
    midnight = OPEN - int(9.5 * 3600) * NS
    quotes = quotes[(quotes >= midnight) & (quotes < midnight + 86_400 * NS)]
    return {
        "trades": (trades["ts_ns"].to_numpy(), np.array(trades["symbol"].to_pylist())),
        "quotes": (quotes, np.full(len(quotes), "IBM")),
    }


def replay_day(day, muted=()):
    """Replay a day; `muted` are (symbol, from second of the session, to second)."""
    kept = {}
    for channel, (recv, symbols) in day.items():
        keep = np.ones(len(recv), np.bool_)
        for symbol, since, until in muted if channel == "trades" else ():
            gone = (recv >= OPEN + since * NS) & (recv < OPEN + until * NS)
            keep &= ~(gone & (symbols == symbol))
        kept[channel] = (recv[keep], symbols[keep])
    watch, changes = Watchdog({"sip": Hours.US_STOCKS}), []
    for minute in range(-330, 630):  # 04:00 to 20:00
        begin = OPEN + minute * 60 * NS
        for channel, (recv, symbols) in kept.items():
            part = slice(*np.searchsorted(recv, [begin, begin + 60 * NS]))
            changes += watch.observe(
                "sip", channel, coded(symbols[part].tolist()), recv[part] - 20_000_000, recv[part]
            )
        changes += watch.advance("sip", begin + 60 * NS)
    return [each for each in changes if each.until_ns is None]


@pytest.mark.timeout(900)
def test_the_quiet_symbols_of_a_whole_recorded_day_raise_no_alarm(day):
    assert replay_day(day) == []


# Seconds by which each is noticed. SPY has 17 trades a second, but in bursts: that day it was
# silent by itself for more than 5 s 27 times, and for up to 10 s; BAC for up to 16, IBM 34, AIG 48.
BOUNDS = {"SPY": 30, "BAC": 90, "IBM": 180, "AIG": 180}


@pytest.fixture(scope="module")
def mutes():
    """(symbol, moment) twenty times for each, in seconds since the open, one after the other."""
    random = np.random.default_rng(7)
    return [
        (symbol, int(900 + 1_100 * number + 275 * place + random.integers(0, 200)))
        for number in range(20)
        for place, symbol in enumerate(BOUNDS)
    ]


@pytest.fixture(scope="module")
def alarms(day, mutes):
    return replay_day(day, [(symbol, at, at + 2 * BOUNDS[symbol]) for symbol, at in mutes])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("symbol", BOUNDS)
def test_a_symbol_muted_at_twenty_moments_of_the_recorded_day_is_noticed_each_time(
    alarms, mutes, symbol
):
    bound = BOUNDS[symbol]
    for moment in [at for each, at in mutes if each == symbol]:
        since = OPEN + moment * NS
        assert any(
            each.symbol == symbol and 0 <= each.noticed_ns - since < bound * NS for each in alarms
        ), f"{symbol} muted at {moment} s was not noticed in {bound} s"


def test_of_symbols_muted_one_after_the_other_no_other_is_named(alarms):
    assert {each.symbol for each in alarms} == set(BOUNDS)
