"""Generated tapes of crypto, options and news: REST gives their rows exactly."""

from collections import Counter

import pytest

from ticktape.orderbook import OrderBook
from ticktape.records import CryptoBook
from ticktape.sim.families import CRYPTO, FAMILIES, NEWS, OPTIONS
from ticktape.sim.generate import generate_family

PATHS = {
    CRYPTO.name: "/v1beta3/crypto/us",
    OPTIONS.name: "/v1beta1/opra",
    NEWS.name: "/v1beta1/news",
}
FIELDS = {
    ("crypto", "trades"): {"p": "price", "s": "size", "i": "id", "tks": "taker_side"},
    ("crypto", "quotes"): {"bp": "bid_price", "bs": "bid_size", "ap": "ask_price"},
    ("options", "trades"): {"p": "price", "s": "size", "x": "exchange", "c": "conditions"},
}


@pytest.fixture(scope="module")
def tapes():
    options = {"seed": 2, "symbols": 3, "events": 2000, "events_per_s": 50, "long_ids": False}
    return {name: generate_family(FAMILIES[name], **options) for name in PATHS}


@pytest.mark.parametrize(("family", "kind"), FIELDS)
@pytest.mark.parametrize("limit", [50, 10_000])
def test_rows_of_the_tape_come_exactly(ask, stream, tapes, ns_of, family, kind, limit):
    tape, path = tapes[family], PATHS[family]
    venue = ask({path: stream(tape)})
    address = f"{path}/{kind}" if family == "crypto" else f"/v1beta1/options/{kind}"
    query = {"symbols": ",".join(tape.symbols), "start": "2000-01-01", "limit": limit}
    fields = FIELDS[family, kind]
    got = [
        (symbol, ns_of(row["t"]), *(row[key] for key in fields))
        for symbol, row in venue.rows(address, kind, **query)
    ]
    sent = [
        (row["symbol"], row["event_ns"], *(row[column] for column in fields.values()))
        for row in tape.tables[kind].to_pylist()
    ]
    assert Counter(got) == Counter(sent) and len(got) > 500
    assert [row[:2] for row in got] == sorted(row[:2] for row in got)


def test_a_book_is_the_one_that_its_changes_make_at_any_row(ask, stream, tapes):
    tape = tapes["crypto"]
    playing = stream(tape, 0)
    venue = ask({PATHS["crypto"]: playing})
    books = {symbol: OrderBook() for symbol in tape.symbols}
    origin = {"feed": "", "recv_ns": 0, "epoch": 0, "seq": 0, "index": 0}
    changes = list(
        zip(tape.places("crypto_books"), tape.tables["crypto_books"].to_pylist(), strict=True)
    )
    for number, (place, change) in enumerate(changes):
        books[change["symbol"]].apply(CryptoBook(**origin, **change))
        if number % 40 == 0:
            playing.rows_played = int(place) + 1
            address = f"{PATHS['crypto']}/latest/orderbooks"
            found = venue.get(address, symbols=",".join(tape.symbols))["orderbooks"]
            shown = {
                symbol: tuple(
                    tuple((level["p"], level["s"]) for level in book[side]) for side in "ba"
                )
                for symbol, book in found.items()
            }
            assert shown == {
                symbol: (book.bids(), book.asks())
                for symbol, book in books.items()
                if book.is_valid
            }
    assert number > 200


def test_every_article_is_there_once_in_its_last_version(ask, stream, tapes):
    tape = tapes["news"]
    venue = ask({PATHS["news"]: stream(tape)})
    query = {"start": "2000-01-01", "limit": 3, "include_content": "true"}
    found, token = {}, ""
    while token is not None:
        page = venue.get(PATHS["news"], **query, **({"page_token": token} if token else {}))
        assert not found.keys() & {article["id"] for article in page["news"]}
        found |= {article["id"]: article for article in page["news"]}
        token = page["next_page_token"]
    last = {row["id"]: row for row in tape.tables["news"].to_pylist()}
    assert found.keys() == last.keys()
    for name in ("headline", "summary", "content", "symbols", "url", "author", "source"):
        assert {key: row[name] for key, row in found.items()} == {
            key: row[name] for key, row in last.items()
        }
