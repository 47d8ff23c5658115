"""Muted symbols, channels and feeds are noticed soon; quiet ones are let be."""

from importlib.resources import as_file, files

import numpy as np
import pyarrow.parquet as pq
import pytest

from ticktape.ledger.coded import coded
from ticktape.ledger.sessions import Hours
from ticktape.ledger.silence import Silence

NS = 1_000_000_000
OPEN = 1_381_239_000 * NS  # 2013-10-08 09:30 in New York
CLOSE = OPEN + 23_400 * NS
NAMES = np.array([f"S{number:02d}" for number in range(30)])


def doubly_stochastic(rates, seconds, *, seed=1, own=0.5, common=0.3):
    """Times and symbol numbers: chance events at rates that themselves wander by chance.

    Each symbol's rate is log-normal with a memory of a minute, times one that all have in common,
    times a day that is busy at both ends.
    """
    random = np.random.default_rng(seed)
    memory = np.exp(-1 / 60)

    def wander(spread, width):
        steps = random.normal(size=(seconds, width)) * spread * np.sqrt(1 - memory**2)
        steps[0] = random.normal(size=width) * spread
        for second in range(1, seconds):
            steps[second] += memory * steps[second - 1]
        return steps - spread**2 / 2

    busy_ends = 1 + 1.2 * np.linspace(-1, 1, seconds)[:, None] ** 2
    rate = np.exp(wander(own, len(rates)) + wander(common, 1)) * busy_ends / busy_ends.mean()
    counts = random.poisson(rate * rates)
    at, which = np.nonzero(counts)
    times = np.repeat(at, counts[at, which]).astype(np.int64)
    which = np.repeat(which, counts[at, which])
    recv_ns = OPEN + times * NS + random.integers(0, NS, len(times))
    order = np.argsort(recv_ns)
    return recv_ns[order], which[order]


def even(rates, seconds, seed=1):
    return doubly_stochastic(np.array(rates), seconds, seed=seed, own=0.0, common=0.0)


def replay(watch, recv_ns, symbols, *, channel="trades", until_ns=None, batch_s=5.0):
    """Feed it in batches, as a reader that is never behind; returns the changes."""
    changes = []
    at_ns = int(recv_ns[0]) if len(recv_ns) else OPEN
    until_ns = until_ns or int(recv_ns[-1]) + NS
    symbols = np.asarray(symbols)
    while at_ns < until_ns:
        end_ns = min(at_ns + int(batch_s * NS), until_ns)
        low, high = np.searchsorted(recv_ns, [at_ns, end_ns])
        watch.observe(channel, coded(symbols[low:high].tolist()), recv_ns[low:high])
        changes += watch.advance(end_ns)
        at_ns = end_ns
    return changes


def began(changes):
    return [each for each in changes if each.until_ns is None]


def without(recv_ns, which, number, from_s, to_s=10**9):
    """The same without one symbol from second to second; None: without all."""
    gone = (recv_ns >= OPEN + int(from_s * NS)) & (recv_ns < OPEN + int(to_s * NS))
    if number is not None:
        gone &= which == number
    return recv_ns[~gone], which[~gone]


def shipped():
    tapes = files("ticktape.sim") / "tapes" / "us_trades_20131008_close.parquet"
    with as_file(tapes) as path:
        table = pq.read_table(path)
    return table["ts_ns"].to_numpy(), np.array(table["symbol"].to_pylist())


def test_a_muted_top_symbol_is_noticed_within_five_seconds_and_ends_once():
    rates = np.geomspace(20, 0.5, 30)
    recv, which = without(*even(rates, 700), 0, 600, 640)
    alarm, end = replay(Silence("sip"), recv, NAMES[which])

    assert alarm[:4] == ("silence", "sip", "trades", "S00")
    assert OPEN + 599 * NS < alarm.since_ns <= OPEN + 600 * NS
    assert alarm.noticed_ns - (OPEN + 600 * NS) <= 5 * NS
    assert alarm.until_ns is None
    assert end[:5] == alarm[:5]
    assert OPEN + 640 * NS <= end.until_ns < OPEN + 641 * NS


@pytest.mark.parametrize(("number", "within_s"), [(0, 5), (4, 5), (9, 5), (14, 12), (20, 30)])
def test_how_soon_a_muted_symbol_is_noticed_follows_its_own_rate(number, within_s):
    rates = np.geomspace(20, 0.5, 30)  # number 9 has 6 events a second, 14 has 3, 20 has 1.6
    recv, which = without(*even(rates, 900, seed=number), number, 700)
    alarms = began(replay(Silence("sip"), recv, NAMES[which]))

    assert [each.symbol for each in alarms] == [NAMES[number]]
    assert alarms[0].noticed_ns - (OPEN + 700 * NS) < within_s * NS


def test_a_feed_that_stops_is_one_alarm_and_not_one_of_each_symbol():
    recv, which = without(*even(np.geomspace(20, 0.5, 30), 800), None, 600, 700)
    alarm, end = replay(Silence("sip"), recv, NAMES[which])

    assert alarm[:4] == ("mute", "sip", "", "")
    assert alarm.noticed_ns - (OPEN + 600 * NS) <= 5 * NS
    assert end[:5] == alarm[:5]
    assert OPEN + 700 * NS <= end.until_ns < OPEN + 701 * NS


def test_a_feed_of_one_symbol_is_mute_and_not_its_symbol_silent():
    recv, which = even([20.0], 300)
    changes = replay(Silence("test"), recv, NAMES[which], until_ns=OPEN + 400 * NS)

    assert [each.kind for each in changes] == ["mute"]


def test_a_channel_that_stops_is_one_alarm_while_the_other_flows():
    recv, which = even(np.geomspace(20, 0.5, 10), 800)
    quotes = recv + 1_000_000
    kept = (quotes < OPEN + 600 * NS) | (quotes >= OPEN + 700 * NS)
    quotes, of = quotes[kept], which[kept]
    watch, changes = Silence("sip"), []
    for at in range(0, 800, 2):
        for channel, times, numbers in (("trades", recv, which), ("quotes", quotes, of)):
            low, high = np.searchsorted(times, [OPEN + at * NS, OPEN + (at + 2) * NS])
            watch.observe(channel, coded(NAMES[numbers[low:high]].tolist()), times[low:high])
        changes += watch.advance(OPEN + (at + 2) * NS)
    alarm, end = changes

    assert alarm[:4] == ("silence", "sip", "quotes", "")
    assert alarm.noticed_ns - (OPEN + 600 * NS) < 8 * NS
    assert OPEN + 700 * NS <= end.until_ns < OPEN + 701 * NS


def test_a_few_messages_in_an_outage_do_not_make_two_of_it():
    recv, which = even([20.0, 20.0, 5.0, 5.0], 700)
    recv, which = without(recv, which, 0, 600, 660)
    extra = OPEN + np.array([608, 620, 633, 645]) * NS
    order = np.argsort(np.append(recv, extra))
    recv = np.append(recv, extra)[order]
    which = np.append(which, np.zeros(4, np.int64))[order]
    alarm, end = replay(Silence("sip"), recv, NAMES[which])

    assert alarm.symbol == end.symbol == "S00"
    assert OPEN + 660 * NS <= end.until_ns < OPEN + 661 * NS


def test_a_symbol_that_is_quiet_together_with_the_others_is_not_called_silent():
    # All fall to a tenth of their rate for ten seconds, and one has nothing in it.
    recv, which = even([8.0] * 12, 700)
    random = np.random.default_rng(2)
    quiet = (recv >= OPEN + 600 * NS) & (recv < OPEN + 610 * NS)
    calm = ~quiet | ((random.random(len(recv)) < 0.1) & (which != 0))
    alone = ~quiet | (which != 0)

    assert began(replay(Silence("sip"), recv[calm], NAMES[which[calm]])) == []
    assert [a.symbol for a in began(replay(Silence("sip"), recv[alone], NAMES[which[alone]]))] == [
        "S00"
    ]


def test_thirty_bursty_symbols_raise_no_alarm_and_each_is_noticed_when_muted():
    rates = np.geomspace(50, 1 / 60, 30)
    recv, which = doubly_stochastic(rates, 3_600, seed=11)

    assert began(replay(Silence("sip"), recv, NAMES[which], batch_s=60)) == []

    muted = {number: 1_200 + 100 * number for number in range(18)}  # the rarer need a day
    for number, since in muted.items():
        recv, which = without(recv, which, number, since, since + max(50, 200 / rates[number]))
    alarms = began(replay(Silence("sip"), recv, NAMES[which], batch_s=60))
    first = {each.symbol: each for each in reversed(alarms)}

    assert first.keys() == {NAMES[number] for number in muted}
    for number, since in muted.items():
        late = (first[NAMES[number]].noticed_ns - OPEN) / NS - since
        assert 0 < late < max(100 / rates[number], 10), NAMES[number]


def test_the_recorded_close_raises_no_alarm_until_a_symbol_is_muted():
    recv, symbols = shipped()
    assert replay(Silence("sip", Hours.US_STOCKS), recv, symbols) == []

    cut = recv[0] + 240 * NS
    kept = (symbols != "SPY") | (recv < cut)
    changes = replay(Silence("sip", Hours.US_STOCKS), recv[kept], symbols[kept])

    assert [each.symbol for each in changes] == ["SPY", "SPY"]
    assert changes[0].noticed_ns - cut <= 5 * NS
    assert changes[1].until_ns == CLOSE


def test_after_the_close_silence_is_nothing_and_before_the_open_data_is_welcome():
    recv, which = even([20.0, 5.0], 900)
    watch = Silence("sip", Hours.US_STOCKS)
    shifted = recv + (23_400 - 600) * NS
    kept = shifted < CLOSE
    changes = replay(watch, shifted[kept], NAMES[which[kept]], until_ns=CLOSE + 3_600 * NS)
    late = CLOSE + np.array([3_601, 7_200, 12 * 3_600]) * NS
    evening = replay(watch, late, ["S00", "S01", "S00"], until_ns=CLOSE + 17 * 3_600 * NS)

    assert changes == evening == []


def test_a_mute_morning_is_noticed_by_what_was_learned_the_day_before():
    recv, which = even([20.0, 5.0], 900)
    watch = Silence("sip", Hours.US_STOCKS)
    next_open = OPEN + 86_400 * NS
    changes = replay(watch, recv, NAMES[which], until_ns=recv[-1] + NS)
    changes += watch.disconnected(recv[-1] + 2 * NS)
    changes += watch.connected(next_open - 600 * NS)
    changes += watch.advance(next_open + 120 * NS)

    (alarm,) = changes
    assert alarm.kind == "mute"
    assert alarm.since_ns == next_open
    assert 30 * NS <= alarm.noticed_ns - next_open < 35 * NS


def test_nothing_alarms_while_disconnected_and_every_silence_begins_anew_after():
    recv, which = even([20.0, 5.0], 900)
    kept = recv < OPEN + 600 * NS
    watch = Silence("sip")
    changes = replay(watch, recv[kept], NAMES[which[kept]], until_ns=OPEN + 600 * NS)
    changes += watch.disconnected(OPEN + 601 * NS)
    changes += watch.advance(OPEN + 700 * NS)
    changes += watch.connected(OPEN + 700 * NS)
    assert changes == []

    (alarm,) = watch.advance(OPEN + 720 * NS)
    assert (alarm.kind, alarm.since_ns) == ("mute", OPEN + 700 * NS)
    (end,) = watch.disconnected(OPEN + 725 * NS)
    assert (end.until_ns, end.since_ns) == (OPEN + 725 * NS, OPEN + 700 * NS)


def test_a_symbol_that_is_no_longer_subscribed_is_not_missed():
    recv, which = without(*even([20.0, 20.0, 5.0], 700), 0, 600)
    watch = Silence("sip")
    kept = recv < OPEN + 600 * NS
    changes = replay(watch, recv[kept], NAMES[which[kept]], until_ns=OPEN + 600 * NS)
    changes += watch.forget("trades", ["S00", "never heard of"], OPEN + 600 * NS)
    changes += replay(watch, recv[~kept], NAMES[which[~kept]])

    assert changes == []


def test_a_reader_that_is_behind_is_no_silence():
    recv, which = even([20.0, 5.0], 600)
    watch = Silence("sip")
    changes = []
    for begin in range(0, len(recv), 5_000):
        part = slice(begin, begin + 5_000)
        watch.observe("trades", coded(NAMES[which[part]].tolist()), recv[part])
        changes += watch.advance(int(recv[part][-1]))

    assert changes == []


def test_what_was_learned_survives_a_restart_and_is_needed_for_a_prompt_alarm():
    recv, which = even([20.0, 5.0], 600)
    first = Silence("sip")
    replay(first, recv, NAMES[which])
    again, empty = Silence("sip"), Silence("sip")
    again.restore(first.saved())

    assert again.limit_s("trades", "S01") == pytest.approx(first.limit_s("trades", "S01"), rel=0.01)
    again.connected(OPEN + 3_600 * NS)
    empty.connected(OPEN + 3_600 * NS)
    assert [each.kind for each in again.advance(OPEN + 3_620 * NS)] == ["mute"]
    assert empty.advance(OPEN + 3_620 * NS) == []


def test_batches_may_be_cut_anywhere():
    recv, which = without(*even([20.0, 5.0, 1.0], 300), 0, 250, 280)
    changes = [
        replay(Silence("sip"), recv, NAMES[which], batch_s=batch_s) for batch_s in (0.3, 7, 1_000)
    ]

    assert len(changes[0]) == 2
    assert changes[0] == changes[1] == changes[2]
