"""A crypto order book through two lost connections: the venue's at every step, or nobody's."""

import json

import pytest

import ticktape as tt
from ticktape.orderbook import OrderBooks
from ticktape.records import CryptoBook, Gap
from ticktape.sim import parse_faults
from ticktape.sim.families import CRYPTO
from ticktape.sim.generate import generate_family

PATH = "/v1beta3/crypto/us"
ENCODINGS = ("json", "msgpack")


@pytest.fixture(scope="module")
def run(wire, loop, tmp_path_factory):
    size = {"symbols": 3, "events": 6000, "events_per_s": 1000.0, "long_ids": False}
    tape = generate_family(CRYPTO, seed=23, **size)
    faults = parse_faults(["disconnect@2000", "disconnect@4000"])
    more = {"faults": faults, "rate": 1000.0, "hold": True}  # both outages, however slow we are
    venues = {each: wire.Venue(loop, tape, PATH, **more) for each in ENCODINGS}
    lists = {"trades": [], "quotes": [], "bars": [], "orderbooks": ["*"]}
    feeds = {
        each: {"url": venue.url, "encoding": each, "stagger_s": 0, "backoff_max_s": 0.2} | lists
        for each, venue in venues.items()
    }
    recorder = wire.Recorder(tmp_path_factory.mktemp("books"), feeds)
    try:
        recorder.wait_tapes(*venues.values())
        ended = recorder.stop()
    finally:
        recorder.close()
    ended.sent = {each: venue.sent() for each, venue in venues.items()}
    ended.table = tape.tables["crypto_books"].to_pylist()
    return ended


def changes(run, feed):
    """Every change that was sent, in order: connection, symbol, whether whole, bids and asks."""
    for message in run.sent[feed]:
        if message["row"] >= 0:
            row = run.table[message["kind_row"]]
            sides = [
                list(zip(row[f"{side}_prices"], row[f"{side}_sizes"], strict=True))
                for side in ("bid", "ask")
            ]
            yield message["connection"], row["symbol"], row["reset"], *sides
        else:  # a whole book for who has just subscribed
            (said,) = json.loads(message["text"])
            sides = [[(level["p"], level["s"]) for level in said[side]] for side in "ba"]
            yield message["connection"], said["S"], said["r"], *sides


class VenuesBooks:
    """The books of the venue as one connection could know them."""

    def __init__(self):
        self.connection, self.books = None, {}

    def take(self, connection, symbol, is_whole, *sides):
        if connection != self.connection:
            self.connection, self.books = connection, {}
        if is_whole:
            self.books[symbol] = ({}, {})
        if symbol not in self.books:
            return None
        for book, levels in zip(self.books[symbol], sides, strict=True):
            for price, size in levels:
                book[price] = size
                if not size:
                    del book[price]
        bids, asks = self.books[symbol]
        return tuple(sorted(bids.items(), reverse=True)), tuple(sorted(asks.items()))


@pytest.mark.parametrize("feed", ENCODINGS)
def test_book_equals_the_venues_at_every_step_and_is_not_valid_from_a_gap_to_the_next_whole(
    run, feed
):
    sent, venue, books = list(changes(run, feed)), VenuesBooks(), OrderBooks()
    step = outages = 0
    with tt.open(run.directory) as tape:
        for record in tape.replay():
            if record.feed != feed:
                continue
            books.update(record)
            if isinstance(record, CryptoBook):
                connection, symbol, *change = sent[step]
                step += 1
                expected = venue.take(connection, symbol, *change)
                book = books.get(feed, record.symbol)
                assert record.symbol == symbol
                assert book.is_valid == (expected is not None)
                if expected is not None:
                    assert (book.bids(), book.asks()) == expected
            elif isinstance(record, Gap) and record.to_ns is None and not record.planned:
                outages += 1
                symbols = {symbol for _, symbol, *_ in sent[:step]}
                assert all(not books.get(feed, symbol).is_valid for symbol in symbols)
                assert all(books.get(feed, symbol).bids() == () for symbol in symbols)
    assert step == len(sent) > 1000
    assert outages == 2
    assert len({connection for connection, *_ in sent}) == 3


@pytest.mark.parametrize("feed", ENCODINGS)
def test_after_the_stop_no_book_is_valid_and_the_table_rebuilds_the_last_one(run, feed):
    venue, last = VenuesBooks(), {}
    for connection, symbol, *change in changes(run, feed):
        last[symbol] = venue.take(connection, symbol, *change)
    with tt.open(run.directory) as tape:
        for symbol, (bids, asks) in last.items():
            found = tape.last.get(feed, symbol).order_book
            assert not found.is_valid
            at = run.rows("crypto_books", feed)[-1]["recv_ns"]
            book = tape.book_at(symbol, at, feed)
            assert book.is_valid
            assert (book.bids(), book.asks()) == (bids, asks)


@pytest.mark.parametrize("feed", ENCODINGS)
def test_inside_a_gap_nobody_knows_the_book(run, feed):
    gaps = run.unplanned(feed)
    assert len(gaps) == 2
    with tt.open(run.directory) as tape:
        for gap in gaps:
            for symbol in {row["symbol"] for row in run.table}:
                book = tape.book_at(symbol, (gap["from_ns"] + gap["to_ns"]) // 2, feed)
                assert not book.is_valid and book.bids() == ()


def test_both_encodings_lost_the_connection_twice_and_recorded_all_they_were_sent(run):
    for feed in ENCODINGS:
        verdict = run.verdict_of(feed)
        assert verdict["sessions"] == 3
        assert verdict["received"] == verdict["stored"] == len(run.sent[feed])
