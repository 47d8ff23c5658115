"""Pages of REST: rows as the stream's, flagged trades, and bodies that are no page."""

import json
from collections import Counter
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticktape.decoders import decoder_for
from ticktape.records import EntryKind
from ticktape.schemas import KINDS
from ticktape.sim.families import CRYPTO, FAMILIES, NEWS, OPTIONS
from ticktape.sim.faults import parse_faults
from ticktape.sim.generate import generate_family, generate_tape
from ticktape.sim.recorded import shipped_tape
from ticktape.sim.rest import RestConfig
from ticktape.sim.rest.amended import CORRECTED, amended_trades
from ticktape.sim.rest.venue import Venue
from ticktape.sim.tricks import play_tricks

KEYS = {"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": "demo-secret"}
TIME = "2026-03-03T12:00:00.123456789Z"
TIME_NS = 1_772_539_200_123_456_789
TRADE = {"t": TIME, "x": "P", "p": 178.26, "s": 246, "c": ["@", "T"], "i": 1, "z": "C"}
QUOTE = {"t": TIME, "ax": "Q", "ap": 2, "as": 3, "bx": "N", "bp": 1, "bs": 4, "c": ["R"], "z": "B"}
BAR = {"t": TIME, "o": 1, "h": 4, "l": 0.5, "c": 2, "v": 100, "n": 7, "vw": 1.5}
ARTICLE = {"id": 9, "created_at": TIME, "updated_at": TIME, "symbols": ["A", "B"], "images": []}


@pytest.fixture
def read(make_block, read_both_ways):
    """Rows by kind of bodies, which are given as JSON or bytes; each is an entry of one block."""

    def make(*bodies):
        payloads = [b if isinstance(b, bytes) else json.dumps(b).encode() for b in bodies]
        return read_both_ways("alpaca_rest", [make_block(*payloads)])

    return make


def test_each_row_has_its_symbol_its_place_in_the_page_and_the_witness(read):
    rows = read({"trades": {"A": [TRADE, TRADE], "B": [TRADE]}, "next_page_token": "x"})["trades"]
    assert [(r["symbol"], r["index"], r["witness"]) for r in rows] == [
        ("A", 0, "rest"),
        ("A", 1, "rest"),
        ("B", 2, "rest"),
    ]
    assert {r["event_ns"] for r in rows} == {TIME_NS}
    content = {"price": 178.26, "size": 246.0, "exchange": "P", "id": 1, "conditions": "@,T"}
    assert rows[0] == rows[0] | content | {"tape": "C", "taker_side": ""}


def test_a_page_of_one_symbol_is_read_alike(read):
    one = read({"symbol": "A", "quotes": [QUOTE], "next_page_token": None})
    assert one == read({"quotes": {"A": [QUOTE]}})
    assert one["quotes"][0]["bid_price"] == 1.0 and one["quotes"][0]["ask_size"] == 3.0


def test_bars_are_of_a_minute_and_news_have_their_own_symbols(read):
    assert read({"bars": {"A": [BAR]}})["bars"][0]["span"] == "minute"
    article = read({"news": [ARTICLE], "next_page_token": None})["news"][0]
    assert (article["symbol"], article["symbols"], article["id"]) == ("A", ["A", "B"], 9)


@pytest.mark.parametrize(("word", "action"), [("canceled", "C"), ("incorrect", "E")])
def test_a_trade_that_was_taken_back_is_a_row_and_a_cancel_besides(read, word, action):
    rows = read({"trades": {"A": [TRADE | {"u": word}, TRADE | {"i": 2}]}})
    assert [(r["id"], r["index"]) for r in rows["trades"]] == [(1, 0), (2, 1)]
    (cancel,) = rows["cancels"]
    said = {"symbol": "A", "id": 1, "price": 178.26, "size": 246.0, "exchange": "P", "tape": "C"}
    assert cancel == cancel | said | {"action": action, "event_ns": TIME_NS, "index": 2}
    assert cancel["witness"] == "rest"


@pytest.mark.parametrize("word", ["corrected", "", "new word", None])
def test_a_trade_with_any_other_flag_is_a_trade(read, word):
    assert read({"trades": {"A": [TRADE | {"u": word}]}}).keys() == {"trades"}


def test_a_trade_that_was_taken_back_and_has_no_id_makes_no_cancel(read):
    row = {name: value for name, value in TRADE.items() if name != "i"} | {"u": "canceled"}
    assert read({"trades": {"A": [row]}}).keys() == {"trades"}


@pytest.mark.parametrize("body", [{"trades": {}}, {"trades": None}, {"bars": {"A": None}}])
def test_a_page_without_rows_has_none(read, body):
    assert read(body | {"next_page_token": None}) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 20_000,
        b'{"trades":' + b"[" * 20_000,
        b'{"trades":{"A":[{}}',
        {},
        {"message": "too many requests."},
        {"trades": [TRADE]},
        {"trades": {"A": TRADE}},
        {"trades": {"A": [TRADE]}, "symbol": 5},
        {"trade": {"A": TRADE}},
    ],
)
def test_a_body_that_is_no_page_is_one_unknown_row(read, body):
    rows = read(body)
    assert rows.keys() == {"unknown"} and len(rows["unknown"]) == 1
    assert rows["unknown"][0]["witness"] == "rest"


@pytest.mark.parametrize(
    "row", [{"t": TIME}, TRADE | {"t": "soon"}, TRADE | {"p": "1"}, TRADE | {"c": 5}, 7, None]
)
def test_a_row_that_cannot_be_read_is_unknown_and_its_neighbours_stay(read, row):
    flagged = row | {"u": "canceled"} if isinstance(row, dict) else row
    rows = read({"trades": {"A": [TRADE, flagged], "B": [TRADE]}})
    assert [(r["symbol"], r["index"]) for r in rows["trades"]] == [("A", 0), ("B", 2)]
    (unknown,) = rows["unknown"]
    assert (unknown["index"], json.loads(unknown["text"])) == (1, flagged)
    assert "cancels" not in rows


def test_what_the_healer_says_of_gaps_are_gaps_of_the_journals_feed(make_block):
    gap = {"from_ns": 5, "to_ns": 9, "cause": "cut", "symbol": "A", "state": "healing"}
    entries = [
        {"event": "started", "run": "r"},
        {"event": "healing", "gap": gap},
        {"event": "page", "request": {"path": "/v2", "query": {}}, "page": 0, "rows_asked": 9},
        {"event": "healed", "gap": gap | {"state": "healed"}, "words": "1 trade"},
        {"event": "compared", "from_ns": 1, "to_ns": 2, "channels": {"trades": ["A"]}},
        {"event": "failed", "status": 500, "words": "later"},
    ]
    payloads = [(EntryKind.SESSION, json.dumps(entry).encode()) for entry in entries]
    decoder = decoder_for("alpaca_rest", "sip.rest")
    found = decoder.decode(make_block(*payloads))
    assert [(g.feed, g.witness, g.state, g.seq) for g in found] == [
        ("sip.rest", "rest", "healing", 1),
        ("sip.rest", "rest", "healed", 3),
    ]
    assert decoder.counts == (0, 0, 0, 0)
    table = decoder.tables([make_block(*payloads)])["gaps"]
    names = KINDS["gaps"].names
    assert table.to_pylist() == [{name: getattr(g, name) for name in names} for g in found]


# No bytes make it raise.

PAGES = [
    {"trades": {"A": [TRADE, TRADE | {"u": "canceled"}], "B": None}, "next_page_token": "QUF"},
    {"symbol": "A", "quotes": [QUOTE, {}], "next_page_token": None},
    {"bars": {"BTC/USD": [BAR]}},
    {"news": [ARTICLE]},
]
TELLING = st.sampled_from([*b'[]{}",:0-9.eutT\\ \xff\x00'])


@st.composite
def bodies(draw):
    body = bytearray(json.dumps(draw(st.sampled_from(PAGES)), separators=(",", ":")).encode())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body)))
        act = draw(st.sampled_from(["change", "put in", "take out", "cut"]))
        if act == "cut":
            del body[at:]
        elif act == "put in":
            body.insert(at, draw(TELLING))
        else:
            body[at : at + 1] = bytes([draw(TELLING)]) if act == "change" else b""
    return bytes(body)


@settings(max_examples=300)
@given(blocks=st.lists(st.lists(st.binary(max_size=20) | bodies(), max_size=3), max_size=3))
def test_no_body_makes_the_decoder_raise_or_the_tables_differ(make_block, read_both_ways, blocks):
    read_both_ways("alpaca_rest", [make_block(*payloads) for payloads in blocks])


VALUES = st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
JSON = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["trades", "quotes", "bars", "news", "symbol", *TRADE, "u", "A"]), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(bodies=st.lists(JSON, max_size=2))
def test_no_json_makes_the_decoder_raise(make_block, read_both_ways, bodies):
    payloads = [json.dumps(body).encode() for body in bodies]
    read_both_ways("alpaca_rest", [make_block(*payloads)])


# Against the simulator's REST interface.


def rows_of_rest(read_both_ways, make_block, path, tape, address, kind, **query):
    """What the decoder makes of all pages of an answer; each page is a block."""
    venue = Venue({path: SimpleNamespace(tape=tape, rows_played=len(tape))}, RestConfig())
    query = {"start": "2000-01-01", **{name: str(value) for name, value in query.items()}}
    if kind != "news":
        query["symbols"] = ",".join(tape.symbols)
    blocks, token = [], None
    while not blocks or token is not None:
        asked = query | ({"page_token": token} if token else {})
        answer = venue.answer(urlsplit(address).path, asked, KEYS, now_ns=1_800_000_000 * 10**9)
        assert answer.status == 200, answer.body
        blocks.append(make_block(answer.body, seq=2 * len(blocks)))
        token = json.loads(answer.body)["next_page_token"]
    rows = read_both_ways("alpaca_rest", blocks)
    for found in rows.values():
        assert {(row["feed"], row["witness"]) for row in found} == {("sip", "rest")}
    return rows


def counted(rows, kind):
    names = KINDS[kind].names[8:]
    lists = (tuple(map(str, [r["symbol"], r["event_ns"], *(r[n] for n in names)])) for r in rows)
    return Counter(lists)


def bare(table):
    """A tape's rows as decoders make them: a text that is null is empty."""
    texts = ("conditions", "taker_side")
    return [row | {n: row[n] or "" for n in texts if n in row} for row in table.to_pylist()]


@pytest.fixture(scope="module")
def real():
    """The shipped tape, with corrections and cancels before, after and without their trades."""
    tricks = "changes_after=1", "changes_before=1", "changes_without=1", "id_collisions=1"
    return play_tricks({"": shipped_tape()}, parse_faults(tricks))[""]


def check_trades(rows, tape):
    amended = amended_trades(tape)
    assert counted(rows["trades"], "trades") == counted(bare(amended.table), "trades")
    # The last word that was said of a row counts.
    words = {flag.row: flag.word for flag in amended.flags}
    taken = [row for row, word in words.items() if word != CORRECTED]
    named = Counter(
        tuple(row[name] for name in ("symbol", "event_ns", "exchange", "id", "price", "size"))
        for row in amended.table.take(taken).to_pylist()
    )
    assert named == Counter(
        tuple(row[name] for name in ("symbol", "event_ns", "exchange", "id", "price", "size"))
        for row in rows.get("cancels", [])
    )
    assert len({flag.word for flag in amended.flags}) == 3  # the tape has all of them


def test_trades_of_the_real_tape_come_exactly(read_both_ways, make_block, real):
    found = rows_of_rest(
        read_both_ways, make_block, "/v2/sip", real, "/v2/stocks/trades", "trades", limit=10_000
    )
    check_trades(found, real)
    assert "unknown" not in found


@pytest.mark.parametrize("limit", [7, 1_000])
def test_pages_of_any_size_have_the_same_rows(read_both_ways, make_block, limit):
    tape = generate_tape(seed=3, symbols=3, events=800)
    for kind in ("trades", "quotes"):
        address = f"/v2/stocks/{kind}"
        found = rows_of_rest(
            read_both_ways, make_block, "/v2/sip", tape, address, kind, limit=limit
        )
        if kind == "trades":
            check_trades(found, tape)
        else:
            assert counted(found[kind], kind) == counted(bare(tape.tables[kind]), kind)


def test_minute_bars_come_as_the_last_version_of_each(read_both_ways, make_block):
    tape = generate_tape(seed=3, symbols=3, events=4_000, events_per_s=10)
    found = rows_of_rest(
        *(read_both_ways, make_block, "/v2/sip", tape, "/v2/stocks/bars", "bars"), timeframe="1Min"
    )
    newest = {}
    for row in tape.tables["bars"].to_pylist():
        if row["span"] != "day":
            newest[row["symbol"], row["event_ns"]] = row | {"span": "minute"}
    assert counted(found["bars"], "bars") == counted(newest.values(), "bars")


@pytest.mark.parametrize(
    ("family", "kind", "path", "address"),
    [
        (CRYPTO, "trades", "/v1beta3/crypto/us", "/v1beta3/crypto/us/trades"),
        (CRYPTO, "quotes", "/v1beta3/crypto/us", "/v1beta3/crypto/us/quotes"),
        (OPTIONS, "trades", "/v1beta1/opra", "/v1beta1/options/trades"),
        (NEWS, "news", "/v1beta1/news", "/v1beta1/news"),
    ],
)
def test_rows_of_other_families_come_exactly(
    read_both_ways, make_block, family, kind, path, address
):
    tape = generate_family(
        FAMILIES[family.name], seed=2, symbols=3, events=600, events_per_s=50, long_ids=False
    )
    more = {"include_content": "true", "limit": 50} if kind == "news" else {"limit": 100}
    found = rows_of_rest(read_both_ways, make_block, path, tape, address, kind, **more)
    if kind == "news":
        newest = {row["id"]: row["headline"] for row in tape.tables["news"].to_pylist()}
        assert {row["id"]: row["headline"] for row in found["news"]} == newest
    else:
        assert counted(found[kind], kind) == counted(bare(tape.tables[kind]), kind)
