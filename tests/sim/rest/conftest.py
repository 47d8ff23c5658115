"""Streams that stand where a test puts them, hand-made tapes, and a venue without a socket."""

import json
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pyarrow as pa
import pytest

from ticktape.sim.rest import RestConfig
from ticktape.sim.rest.venue import Venue
from ticktape.sim.tape import COLUMNS, Tape

KEYS = {"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": "demo-secret"}
NOON_NS = 1_772_539_200 * 10**9  # 2026-03-03 12:00 UTC
WALL_NS = 1_800_000_000 * 10**9


class FakeStream:
    """A stream as the twin sees it: `rows_played` is the test's to set."""

    def __init__(self, tape, rows_played=None):
        self.tape = tape
        self.rows_played = len(tape) if rows_played is None else rows_played


class Asker:
    """Asks a venue as a client would, and keeps the answers' bodies."""

    def __init__(self, streams, **config):
        self.venue = Venue(streams, RestConfig(**config))
        self.now_ns = WALL_NS
        self.headers = KEYS

    def answer(self, address, **query):
        return self.venue.answer(
            urlsplit(address).path,
            {name: str(value) for name, value in query.items()},
            self.headers,
            now_ns=self.now_ns,
        )

    def get(self, address, **query):
        """The body of a good answer."""
        answer = self.answer(address, **query)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def error(self, address, **query):
        """Status and message of a bad one."""
        answer = self.answer(address, **query)
        assert answer.status != 200
        return answer.status, json.loads(answer.body)["message"]

    def pages(self, address, kind="trades", **query):
        """Follow the tokens to the end; the pages' rows by symbol."""
        pages, token = [], None
        while not pages or token is not None:
            found = self.get(address, **query, **({"page_token": token} if token else {}))
            pages.append(found[kind])
            token = found["next_page_token"]
        return pages

    def rows(self, address, kind="trades", **query):
        """(symbol, row) of all pages, in their order."""
        return [
            (symbol, row)
            for page in self.pages(address, kind, **query)
            for symbol, rows in page.items()
            for row in rows
        ]


def nanoseconds(text):
    """RFC 3339 -> ns, by hand."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


def table_of(kind, rows):
    """A tape's table of a kind: what a row does not say is 0, empty or nothing."""
    empty = {pa.string(): "", pa.float64(): 0.0, pa.int64(): 0, pa.bool_(): False}
    full = [
        {field.name: row.get(field.name, empty.get(field.type, [])) for field in COLUMNS[kind]}
        for row in rows
    ]
    return pa.Table.from_pylist(full, COLUMNS[kind])


def trade(symbol, at, number, price=10.0, **more):
    """A trade `at` ns after noon."""
    row = {"symbol": symbol, "event_ns": NOON_NS + at, "id": number, "price": price, "size": 100.0}
    return row | {"exchange": "V", "conditions": "@", "tape": "C"} | more


def make_tape(family="stocks", **kinds):
    return Tape({kind: table_of(kind, rows) for kind, rows in kinds.items()}, family)


@pytest.fixture
def ask():
    """`ask(tape)`, or streams by path: an Asker of them."""

    def make(streams, **config):
        if isinstance(streams, Tape):
            streams = {"/v2/sip": FakeStream(streams)}
        return Asker(streams, **config)

    return make


@pytest.fixture
def stream():
    return FakeStream


@pytest.fixture
def tape_of():
    return make_tape


@pytest.fixture
def a_trade():
    return trade


@pytest.fixture
def ns_of():
    return nanoseconds
