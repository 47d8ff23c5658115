"""What a venue's data may be like, and what may become of a frame: the rest of the fault menu.

Half of the feeds take MessagePack. Outages and refusals are in the tests of sessions and errors.
"""

import pytest

from ticktape.sim import generate_tape, parse_faults
from ticktape.sim.families import CRYPTO, NEWS
from ticktape.sim.generate import generate_family

CRYPTO_PATH, NEWS_PATH = "/v1beta3/crypto/us", "/v1beta1/news"
# Feed -> (fault, path, encoding); `sip` tapes are stocks.
FEEDS = {
    "delay": ("delay@300=200", "/v2/iex", "json"),
    "burst": ("burst@300=0.5", "/v2/iex", "msgpack"),
    "slow": ("slow@1100=5", "/v2/iex", "msgpack"),
    "malformed": ("malformed@300", "/v2/iex", "msgpack"),
    "unknown_type": ("unknown_type@300", "/v2/iex", "msgpack"),
    "unknown_field": ("unknown_field@300", "/v2/iex", "msgpack"),
    "huge": ("huge@300", "/v2/iex", "msgpack"),
    "fragment": ("fragment@300=7", "/v2/iex", "msgpack"),
    "corrupt": ("corrupt=100", "/v2/iex", "json"),
    "corrupt_packed": ("corrupt=100", "/v2/iex", "msgpack"),
    "out_of_order": ("out_of_order=20", "/v2/iex", "json"),
    "late": ("late=20", "/v2/iex", "msgpack"),
    "duplicates": ("duplicates=10", "/v2/iex", "json"),
    "dup_packed": ("duplicates=10", "/v2/iex", "msgpack"),
    "changes_after": ("changes_after=10", "/v2/iex", "json"),
    "changes_before": ("changes_before=10", "/v2/iex", "msgpack"),
    "changes_without": ("changes_without=10", "/v2/iex", "json"),
    "id_collisions": ("id_collisions=10", "/v2/iex", "json"),
    "null_conditions": ("null_conditions=30", "/v2/iex", "json"),
    "null_packed": ("null_conditions=30", "/v2/iex", "msgpack"),
    "daily_repeats": ("daily_bar_repeats=20", "/v2/iex", "json"),
    "zero_bars": ("zero_bars=50", CRYPTO_PATH, "json"),
    "empty_news": ("empty_news=50", NEWS_PATH, "msgpack"),
}
DUPLICATED = ("duplicates", "dup_packed")
CORRUPT = ("corrupt", "corrupt_packed")
STOCKS = [name for name, (_, path, _) in FEEDS.items() if path == "/v2/iex"]


@pytest.fixture(scope="module")
def run(wire, loop, tmp_path_factory):
    size = {"symbols": 3, "events": 1200, "events_per_s": 1000.0, "long_ids": False}
    tapes = {
        "/v2/iex": generate_tape(seed=7, symbols=wire.SYMBOLS, events=1200),
        CRYPTO_PATH: generate_family(CRYPTO, seed=7, **size),
        NEWS_PATH: generate_family(NEWS, seed=7, **size | {"events": 40_000}),
    }
    lists = {
        "/v2/iex": {"daily_bars": ["*"]},
        CRYPTO_PATH: {},
        NEWS_PATH: {"trades": [], "quotes": [], "bars": [], "news": ["*"]},
    }
    venues, feeds = {}, {}
    for name, (fault, path, encoding) in FEEDS.items():
        faults = parse_faults([fault])
        venues[name] = wire.Venue(loop, tapes[path], path, faults=faults, batch=4, seed=3)
        feeds[name] = {"url": venues[name].url, "encoding": encoding, "stagger_s": 0} | lists[path]
    recorder = wire.Recorder(tmp_path_factory.mktemp("menu"), feeds)
    try:
        recorder.wait_tapes(*venues.values())
        ended = recorder.stop()
    finally:
        recorder.close()
    ended.sent = {name: venue.sent() for name, venue in venues.items()}
    ended.tapes = {name: venue.sim.streams[venue.path].tape for name, venue in venues.items()}
    return ended


@pytest.mark.parametrize("feed", FEEDS)
def test_feed_stays_complete_in_one_session(run, feed):
    verdict = run.verdict_of(feed)
    assert verdict["complete"], run.verdict["reasons"]
    assert verdict["sessions"] == 1 and verdict["gaps"] == 0


@pytest.mark.parametrize("feed", [name for name in STOCKS if name not in (*DUPLICATED, *CORRUPT)])
def test_table_holds_what_was_sent_each_once_and_in_order(run, wire, feed):
    if feed in ("malformed", "unknown_type"):
        # The truth has the bytes of an unreadable frame, the table a text for people.
        assert len(run.rows("unknown", feed)) == 1
        run.sent[feed] = [row for row in run.sent[feed] if row["kind"] != "unknown"]
        stored = run.verdict_of(feed)["stored"]
        assert stored == len(run.sent[feed]) + 1
        return
    wire.check_equal(run, feed, run.sent[feed])


@pytest.mark.parametrize("feed", CORRUPT)
def test_corrupt_frame_costs_that_frame_alone(run, feed):
    rows = [row for row in run.sent[feed] if row["kind"] != "unknown"]
    stored = {
        kind: len(run.rows(kind, feed)) for kind in ("trades", "quotes", "bars", "corrections")
    }
    for kind, count in stored.items():
        assert count == sum(row["kind"] == kind for row in rows), kind
    corrupt = [row for row in run.sent[feed] if row["kind"] == "unknown"]
    assert len(run.rows("unknown", feed)) == len(corrupt) >= 2
    assert run.verdict_of(feed)["dropped"] == 0


@pytest.mark.parametrize("feed", DUPLICATED)
def test_what_comes_twice_is_stored_once_and_counted(run, feed):
    trades = [row for row in run.sent[feed] if row["kind"] == "trades"]
    identities = [(r["symbol"], r["event_ns"], r["exchange"], r["id"]) for r in trades]
    again = len(identities) - len(set(identities))
    assert again > 20
    assert run.verdict_of(feed)["duplicates"] == again
    stored = [
        (r["symbol"], r["event_ns"], r["exchange"], r["id"]) for r in run.rows("trades", feed)
    ]
    assert stored == list(dict.fromkeys(identities))


def test_ids_used_twice_on_exchange_d_are_different_trades(run):
    rows = [row for row in run.rows("trades", "id_collisions") if row["exchange"] == "D"]
    keys = [(row["symbol"], row["id"]) for row in rows]
    assert len(keys) - len(set(keys)) > 20
    assert run.verdict_of("id_collisions")["duplicates"] == 0


@pytest.mark.parametrize("feed", ["null_conditions", "null_packed"])
def test_null_conditions_are_an_empty_text(run, feed):
    rows = run.rows("trades", feed)
    nulls = run.tapes[feed].tables["trades"]["conditions"].null_count
    assert nulls > 50
    assert sum(row["conditions"] == "" for row in rows) >= nulls
    assert None not in [row["conditions"] for row in rows]


def test_daily_bars_that_repeat_are_each_kept(run):
    days = [row for row in run.rows("bars", "daily_repeats") if row["span"] == "day"]
    contents = [(row["symbol"], row["event_ns"], row["close"], row["volume"]) for row in days]
    assert len(contents) - len(set(contents)) >= 20
    assert len(days) == sum(
        row["span"] == "day" for row in run.tapes["daily_repeats"].tables["bars"].to_pylist()
    )


def test_bars_without_a_trade_and_news_without_a_symbol_are_kept(run):
    bars = run.rows("bars", "zero_bars")
    assert sum(row["volume"] == row["trade_count"] == row["vwap"] == 0 for row in bars) >= 1
    news = run.rows("news", "empty_news")
    assert len(news) == run.tapes["empty_news"].tables["news"].num_rows
    assert sum(row["symbols"] == [] and row["symbol"] == "" for row in news) >= len(news) // 4


def test_cancelled_and_corrected_trades_are_so_in_the_view_wherever_the_change_came(run):
    """A change sent before its trade counts as well; one without a trade changes nothing."""
    from ticktape.directory import RunDirectory
    from ticktape.replay.tail import connect_run

    con = connect_run(RunDirectory(run.directory))
    counts = dict(con.execute("SELECT feed, count(*) FROM trades GROUP BY 1").fetchall())
    raw = dict(con.execute("SELECT feed, count(*) FROM trades_raw GROUP BY 1").fetchall())
    cancels = dict(con.execute("SELECT feed, count(*) FROM cancels GROUP BY 1").fetchall())
    con.close()
    for feed in ("changes_after", "changes_before"):
        assert 0 < raw[feed] - counts[feed] <= cancels[feed]
        assert raw[feed] - counts[feed] > cancels[feed] // 2
    own = raw["delay"] - counts["delay"]  # the tape's own cancels
    assert raw["changes_without"] - counts["changes_without"] == own
