"""Everything that Alpaca streams, in both encodings: recorded and decoded it is what was sent.

One run records all families at once, most of them twice, in JSON and in MessagePack.
"""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ticktape.decoders import decoder_for
from ticktape.directory import RunDirectory
from ticktape.orderbook import OrderBook
from ticktape.records import CryptoBook
from ticktape.replay.places import reader_of
from ticktape.sim.families import CRYPTO, NEWS, OPTIONS, STOCKS
from ticktape.sim.generate import generate_family
from ticktape.sim.tape import COLUMNS

EVERYTHING = ["*"]
BARS = {"updated_bars": EVERYTHING, "daily_bars": EVERYTHING}
STOCK_LISTS = BARS | dict.fromkeys(("statuses", "lulds", "imbalances"), EVERYTHING)
CRYPTO_LISTS = BARS | {"orderbooks": EVERYTHING}
NO_LISTS = {"trades": [], "quotes": [], "bars": []}
FAMILIES = {
    "stocks": (STOCKS, "/v2/iex", STOCK_LISTS),
    "crypto": (CRYPTO, "/v1beta3/crypto/us", CRYPTO_LISTS),
    "options": (OPTIONS, "/v1beta1/opra", {"bars": []}),
    "news": (NEWS, "/v1beta1/news", NO_LISTS | {"news": EVERYTHING}),
}
FEEDS = [
    (family, encoding)
    for family in FAMILIES
    for encoding in ("json", "msgpack")
    if (family, encoding) != ("options", "json")
]
KINDS = [(family, kind) for family, (of, *_) in FAMILIES.items() for kind in of.kinds]


def name_of(family, encoding):
    return f"{family}-{encoding}"


@pytest.fixture(scope="module")
def tapes():
    size = {"symbols": 5, "events": 4000, "events_per_s": 1000.0, "long_ids": False}
    return {name: generate_family(of, seed=11, **size) for name, (of, *_) in FAMILIES.items()}


@pytest.fixture(scope="module")
def run(wire, loop, tapes, tmp_path_factory):
    venues, feeds = {}, {}
    for family, encoding in FEEDS:
        _, path, lists = FAMILIES[family]
        name = name_of(family, encoding)
        venues[name] = wire.Venue(loop, tapes[family], path, rate=2000.0, batch=7)
        feeds[name] = {"url": venues[name].url, "encoding": encoding, "stagger_s": 0} | lists
        if family == "options":
            feeds[name]["quotes"] = sorted(
                set(tapes[family].tables["quotes"]["symbol"].to_pylist())
            )
    recorder = wire.Recorder(tmp_path_factory.mktemp("families"), feeds)
    try:
        recorder.wait_tapes(*venues.values())
        ended = recorder.stop()
    finally:
        recorder.close()
    ended.venues = venues
    return ended


def sent(tapes, family, kind):
    """The tape's rows of a kind with the columns that the table has, too."""
    table = tapes[family].tables[kind]
    return table.select([name for name in COLUMNS[kind].names if name in table.column_names])


@pytest.mark.parametrize(("family", "encoding"), FEEDS)
def test_every_kind_of_the_family_is_on_its_tape_and_the_run_is_complete(
    run, tapes, family, encoding
):
    of = FAMILIES[family][0]
    assert set(tapes[family].tables) == set(of.kinds)
    assert run.exit_code == 0 and run.verdict["complete"], run.verdict["reasons"]
    verdict = run.verdict_of(name_of(family, encoding))
    assert verdict["received"] == verdict["stored"] == len(tapes[family])
    assert verdict["tables"].get("unknown", 0) == 0


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_table_equals_what_was_sent_in_every_column_and_in_order(
    run, tapes, family, kind, encoding
):
    if (family, encoding) not in FEEDS:
        encoding = "msgpack"
    found = run.arrow(kind, name_of(family, encoding))
    expected = sent(tapes, family, kind)
    assert found.num_rows == expected.num_rows > 0
    for name in expected.column_names:
        one, other = found[name].to_pylist(), expected[name].to_pylist()
        assert one == other, f"{kind}.{name}"


@pytest.mark.parametrize("family", ["stocks", "crypto", "news"])
def test_json_and_msgpack_give_the_same_tables(run, family):
    own = {"feed", "recv_ns", "epoch", "seq", "index"}
    for kind in FAMILIES[family][0].kinds:
        one, other = (run.arrow(kind, name_of(family, each)) for each in ("json", "msgpack"))
        names = [name for name in one.column_names if name not in own]
        assert one.select(names).equals(other.select(names)), kind


def test_nanoseconds_long_ids_and_fractions_are_among_what_was_sent(tapes):
    """Else the tests above would show little."""
    crypto = tapes["crypto"].tables
    assert pc.max(crypto["trades"]["id"]).as_py() > 2**53
    digits = {str(ns)[-9:].rstrip("0") for ns in crypto["trades"]["event_ns"].to_pylist()}
    assert {len(each) for each in digits} >= {1, 2, 3, 6, 9}
    assert any(size % 1 for size in crypto["trades"]["size"].to_pylist())
    assert 0 in crypto["bars"]["volume"].to_pylist()
    assert [] in tapes["news"].tables["news"]["symbols"].to_pylist()
    ids = tapes["news"].tables["news"]["id"].to_pylist()
    assert len(set(ids)) < len(ids), "an article comes again"


def test_what_was_received_is_what_was_sent_frame_by_frame(run):
    for family, encoding in FEEDS:
        name = name_of(family, encoding)
        control = run.verdict_of(name)["control"]
        frames = run.raw(name)
        assert len(frames) - control == run.venues[name].sim.statistics().frames
        kinds = {kind for _, kind, _ in frames}
        assert kinds == ({1} if encoding == "msgpack" else {0})


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_order_book_put_together_equals_the_venues_at_every_step(run, tapes, encoding):
    """The venue's own book: every row of the tape applied to a plain dict."""
    table = tapes["crypto"].tables["crypto_books"].to_pylist()
    name = name_of("crypto", encoding)
    books, truth, step = {}, {}, 0
    decoder = decoder_for("alpaca", name)
    with reader_of(RunDirectory(run.directory), name, live=False) as reader:
        while blocks := reader.read(1 << 20):
            for block in blocks:
                for record in decoder.decode(block):
                    if not isinstance(record, CryptoBook):
                        continue
                    row, step = table[step], step + 1
                    book = books.setdefault(record.symbol, OrderBook())
                    book.apply(record)
                    bids, asks = truth.setdefault(row["symbol"], ({}, {}))
                    if row["reset"]:
                        bids.clear()
                        asks.clear()
                    for side, which in ((bids, "bid"), (asks, "ask")):
                        for price, size in zip(
                            row[f"{which}_prices"], row[f"{which}_sizes"], strict=True
                        ):
                            side[price] = size
                            if not size:
                                del side[price]
                    assert record.symbol == row["symbol"]
                    assert book.is_valid
                    assert book.bids() == tuple(sorted(bids.items(), reverse=True))
                    assert book.asks() == tuple(sorted(asks.items()))
    assert step == len(table) > 100


def test_every_column_has_its_type(run):
    for family, encoding in FEEDS:
        for kind in FAMILIES[family][0].kinds:
            table = run.arrow(kind, name_of(family, encoding))
            for field in COLUMNS[kind]:
                assert pa.types.is_string(
                    table.schema.field(field.name).type
                ) == pa.types.is_string(field.type)
