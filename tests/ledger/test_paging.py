"""Requests and their pages: all of them, in groups that fit, and on from where a chain stood."""

import json

import pytest

from ticktape.errors import DecodeError
from ticktape.ledger.paging import Chain, chain_of, grouped, read_page, url_of

BASE = "https://data.example"


def body(token, **kinds):
    return json.dumps({**(kinds or {"trades": {}}), "next_page_token": token}).encode()


def chain(**more):
    return Chain("/v2/stocks/trades", {"symbols": "A,B", "start": "2026-11-25T10:00:00Z", **more})


def test_a_chain_goes_on_until_no_token_comes_though_pages_are_short_or_empty():
    at = chain()
    pages = [
        body("one", trades={"A": [{"i": 1}, {"i": 2}]}),
        body("two", trades={}),
        body("three", trades=None),
        body(None, trades={"A": [{"i": 3}], "B": None}),
    ]
    tokens = []
    for page in pages:
        assert not at.done
        tokens.append(at.request().query.get("page_token"))
        at.take(page)

    assert (at.done, at.pages, at.rows) == (True, 4, 3)
    assert tokens == [None, "one", "two", "three"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'{"next_page_token": null}',
        b'{"trades": {}}',
        b'{"trades": {"A": 7}, "next_page_token": null}',
        b'{"trades": {}, "next_page_token": 7}',
        b'{"message": "x"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_page_is_refused_and_the_chain_stands_where_it_was(text):
    at = chain()
    at.take(body("one"))
    with pytest.raises(DecodeError):
        at.take(text)

    assert (at.pages, at.token, at.done) == (1, "one", False)


def test_fields_that_nobody_knows_are_no_fault():
    found = read_page(b'{"currency":"USD","bars":{"A":[{}]},"more":[1],"next_page_token":""}')
    assert found == (1, "")


def test_a_page_tells_its_chain_whichever_page_it_is():
    at = chain()
    first = at.page()
    at.take(body("one"))
    second = at.page()

    assert (first.page, second.page) == (0, 1)
    assert second.request.query["page_token"] == "one"
    assert chain_of(first).key == chain_of(second).key == at.key
    assert chain(symbols="A").key != at.key
    assert chain_of(second) == chain()


def test_a_chain_that_begins_anew_asks_its_first_page():
    at = chain()
    at.take(body("one", trades={"A": [{}]}))
    at.restart()

    assert at == chain()


def test_symbols_are_asked_for_each_once_in_urls_of_two_thousand_characters_at_most():
    symbols = [f"LONG{n:05}/USD" for n in range(3_000)]
    groups = grouped([*symbols, *symbols])

    assert sorted(symbol for group in groups for symbol in group) == sorted(symbols)
    query = {"start": "2026-11-25T10:00:00.123456789Z", "end": "2026-11-25T10:00:00.123456789Z"}
    more = query | {"limit": "10000", "sort": "asc", "asof": "-", "feed": "delayed_sip"}
    for group in groups:
        at = Chain("/v1beta3/crypto/us-1/trades", {"symbols": ",".join(group), **more})
        assert len(url_of("https://data.sandbox.alpaca.markets", at.request())) < 2_000


def test_groups_are_the_same_for_the_same_symbols_in_any_order():
    assert grouped(["B", "A", "B"]) == grouped(["A", "B"]) == [["A", "B"]]
    assert grouped([]) == []


def test_an_address_can_be_read_and_holds_no_sign_that_it_may_not():
    at = Chain("/x", {"symbols": "BTC/USD,A B&c", "start": "2026-11-25T10:00:00Z"}, token="a+b=/")
    url = url_of(BASE, at.request())

    assert url == (
        f"{BASE}/x?symbols=BTC/USD,A+B%26c&start=2026-11-25T10:00:00Z&page_token=a%2Bb%3D/"
    )
