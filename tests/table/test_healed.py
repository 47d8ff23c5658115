"""What REST brought beside what was streamed: nothing is left out, nothing stands twice."""

import json
import random
from collections import Counter
from types import SimpleNamespace
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from ticktape.clock import iso_utc
from ticktape.decoders import decoder_for
from ticktape.ledger import Witnesses
from ticktape.schemas import KINDS
from ticktape.sim.faults import parse_faults
from ticktape.sim.generate import generate_tape
from ticktape.sim.rest import RestConfig
from ticktape.sim.rest.amended import CORRECTED, amended_trades
from ticktape.sim.rest.venue import Venue
from ticktape.sim.tricks import play_tricks
from ticktape.table import TableBuilder, TableStore, connect, healed, run_sql
from ticktape.table.dedup import Deduplicator

SECOND = 1_000_000_000
FEEDS = ("sip", "sip.rest")
EVERY = "select id, price, conditions, witness from trades order by event_ns, id, price"


# Rows of REST that are kept in memory: all; some, once the others are known to be streamed; none.
KEPT = (500_000, 4, 0)
PARTS_NS = (1, 3, 10 * SECOND)


class Run:
    """Blocks of a feed and of what REST said of it, one received each second; SQL over them."""

    def __init__(self, tape, root):
        self.tape = tape
        self.root = root
        self.now_s = 0
        self.blocks = {feed: [] for feed in FEEDS}
        self.next_seq = dict.fromkeys(FEEDS, 0)

    def _block(self, feed, *entries):
        self.now_s += 1
        number, seq = len(self.blocks[feed]), self.next_seq[feed]
        self.next_seq[feed] += len(entries)
        payloads = [(0, json.dumps(entry).encode()) for entry in entries]
        self.blocks[feed].append(
            SimpleNamespace(
                epoch=1,
                offset=number * 100,
                end_offset=number * 100 + 100,
                seq=seq,
                recv_ns=self.now_s * SECOND,
                entries=lambda: payloads,
            )
        )
        return self

    def stream(self, *messages):
        return self._block("sip", *[[message] for message in messages])

    def page(self, *rows, flags=None):
        """A page of REST; `flags` are cancels, which stand behind its rows."""
        made = [[kind, {"witness": "rest"} | values] for kind, values in rows]
        made += [["cancels", {"witness": "rest"} | values] for _, values in flags or []]
        return self._block("sip.rest", [], made)

    def word(self, *gaps):
        """An entry of the healer's own."""
        return self._block("sip.rest", [["gaps", gap] for gap in gaps])

    def ask(self, text, *, committed=0, as_of_ns=None):
        if committed:
            builder = self._builder(TableStore(self.root))
            for feed in FEEDS:
                builder.add(feed, self.blocks[feed][:committed])
            builder.commit()
        store = TableStore(self.root, read_only=True)
        reader = self._builder(store)
        for feed in FEEDS:
            reader.add(feed, self.blocks[feed][committed:])
        with connect(store, reader.tails(), as_of_ns, text) as con:
            return [tuple(row.values()) for row in run_sql(con, text).to_pylist()]

    def _builder(self, store):
        builder = TableBuilder(store, {feed: self.tape.Decoder(feed) for feed in FEEDS})
        for feed in FEEDS:
            builder.start_position(feed, None)
        return builder


@pytest.fixture
def run(tape, tmp_path):
    return Run(tape, tmp_path)


@pytest.fixture
def trade(tape):
    return tape.trade


def quote(at, bid=1.0, symbol="A"):
    return ["quotes", {"symbol": symbol, "event_ns": at, "bid_price": bid, "ask_price": 2.0}]


def bar(at, close, span="minute", symbol="A"):
    return ["bars", {"symbol": symbol, "event_ns": at, "span": span, "close": close}]


def taken_back(row, action="C"):
    """The cancel that the decoder makes of a flagged trade."""
    names = ("symbol", "event_ns", "exchange", "id", "price", "size")
    return ["cancels", {name: row[1][name] for name in names} | {"action": action}]


# Trades that have an id.


def test_without_rest_the_views_are_what_is_stored(run, trade):
    run.stream(trade(1, at=5), quote(5), bar(0, 1.0))
    for kind in ("trades", "quotes", "bars"):
        assert run.ask(f"select * from {kind}") == run.ask(f"select * from {kind}_raw")
        assert len(run.ask(f"select * from {kind}")) == 1


@pytest.mark.parametrize("committed", [0, 1, 9])
def test_a_trade_that_was_missed_is_shown_with_its_witness_under_the_feeds_name(
    run, trade, committed
):
    run.stream(trade(1, at=5), trade(3, at=7))
    run.page(trade(1, at=5), trade(2, at=6), trade(3, at=7))
    found = run.ask("select feed, id, witness from trades order by id", committed=committed)
    assert found == [("sip", 1, ""), ("sip", 2, "rest"), ("sip", 3, "")]
    raw = run.ask("select feed, count(*) from trades_raw group by all order by all")
    assert raw == [("sip", 2), ("sip.rest", 3)]


def test_a_healed_trade_is_known_from_its_receipt_on(run, trade):
    run.stream(trade(1, at=5)).page(trade(1, at=5), trade(2, at=6))
    ids = "select id from trades order by id"
    assert run.ask(ids, as_of_ns=2 * SECOND - 1) == [(1,)]
    assert run.ask(ids, as_of_ns=2 * SECOND) == [(1,), (2,)]


def test_two_prints_of_one_id_and_instant_stay_two(run, trade):
    run.stream(trade(1, at=5, exchange="D"))
    run.page(trade(1, at=5, exchange="D"), trade(1, at=5, exchange="D", price=11.0))
    assert run.ask(EVERY) == [(1, 10.0, "", ""), (1, 11.0, "", "rest")]


def test_a_trade_that_rest_shows_otherwise_is_the_streamed_one(run, trade):
    run.stream(trade(1, at=5, conditions="@")).page(trade(1, at=5, conditions="@,I"))
    assert run.ask(EVERY) == [(1, 10.0, "@", "")]


def test_equal_content_is_matched_before_what_differs(run, trade):
    run.stream(trade(1, at=5, price=11.0), trade(1, at=5, price=12.0))
    run.page(*(trade(1, at=5, price=price) for price in (10.0, 11.0, 13.0)))
    assert [row[1] for row in run.ask(EVERY)] == [11.0, 12.0, 13.0]


def test_ids_of_other_times_exchanges_and_symbols_are_others(run, trade):
    run.stream(trade(1, at=5))
    run.page(
        *(trade(1, at=5), trade(1, at=6), trade(1, at=5, exchange="D")), trade(1, at=5, symbol="B")
    )
    assert len(run.ask(EVERY)) == 4


def test_what_was_asked_again_stands_once(run, trade):
    for _ in range(3):
        run.page(trade(1, at=5), trade(2, at=6)).word()
    assert [row[0] for row in run.ask(EVERY)] == [1, 2]


# What has no id.


def test_a_trade_that_rest_tells_otherwise_the_second_time_stands_once(run, trade):
    old, new = trade(1, at=5, conditions="@"), trade(1, at=5, conditions="@,I")
    run.page(old).word().page(new)
    assert run.ask(EVERY) == [(1, 10.0, "@,I", "rest")]
    run.stream(old)
    assert run.ask(EVERY) == [(1, 10.0, "@", "")]


def test_the_request_that_has_most_of_an_identity_is_taken_and_no_row_of_another(run, trade):
    pair = [trade(1, at=5, exchange="D", price=price) for price in (10.0, 11.0)]
    run.page(*pair).word().page(trade(1, at=5, exchange="D", price=12.0))
    assert [row[1] for row in run.ask(EVERY)] == [10.0, 11.0]


@pytest.mark.parametrize("of", ["trades", "quotes"])
def test_equal_rows_without_an_id_count_as_often_as_one_request_has_them(run, trade, of):
    row = trade(None, at=5) if of == "trades" else quote(5)
    run.stream(row).page(row, row).word().page(row, row, row).word().page(row)
    found = run.ask(f"select witness, count(*) from {of} group by all order by all")
    assert found == [("", 1), ("rest", 2)]


@pytest.mark.parametrize("of", ["trades", "quotes"])
def test_equal_rows_on_two_pages_of_one_request_are_all_counted(run, trade, of):
    before, row = (trade(None, at=4), trade(None, at=5)) if of == "trades" else map(quote, (4, 5))
    run.page(before, row).page(row, row).page(row)
    assert run.ask(f"select count(*) from {of}") == [(5,)]
    # Another request of the same instants.
    run.word().page(row, row)
    assert run.ask(f"select count(*) from {of}") == [(5,)]


@pytest.mark.parametrize("part_ns", PARTS_NS)
def test_what_nobody_streamed_is_shown_beside_what_has_to_be_matched(
    monkeypatch, run, trade, part_ns
):
    monkeypatch.setattr(healed, "_PART_NS", part_ns)
    run.stream(trade(1, at=50)).page(trade(2, at=50), trade(1, at=50)).page(trade(3, at=90))
    assert run.ask("select id from trades order by id") == [(1,), (2,), (3,)]


def test_a_request_that_begins_where_the_one_before_ended_counts_for_itself(run):
    run.page(quote(4), quote(5)).word().page(quote(5), quote(6))
    assert run.ask("select event_ns from quotes order by all") == [(4,), (5,), (6,)]


def test_a_quote_that_differs_in_anything_is_another(run):
    run.stream(quote(5)).page(quote(5, bid=1.5), quote(5))
    assert run.ask("select bid_price, witness from quotes order by all") == [
        (1.0, ""),
        (1.5, "rest"),
    ]


# Bars.


def test_of_a_bar_the_streamed_one_stands_and_else_the_last_that_rest_gave(run):
    run.stream(bar(60, 1.0), bar(60, 1.1, span="updated"))
    run.page(bar(60, 9.0), bar(120, 2.0)).word().page(bar(120, 2.5))
    found = run.ask("select event_ns, span, close, witness, feed from bars order by all")
    assert found == [
        (60, "minute", 1.0, "", "sip"),
        (60, "updated", 1.1, "", "sip"),
        (120, "minute", 2.5, "rest", "sip"),
    ]


# What a query costs once a day was compared: its conditions must reach the rows of REST.

DAY_NS = 86_400 * SECOND


def work_of(run, text):
    """What a query over committed rows costs: rows that its scans gave, and that windows took."""
    builder = run._builder(TableStore(run.root))
    for feed in FEEDS:
        builder.add(feed, run.blocks[feed])
    builder.commit()
    with connect(TableStore(run.root, read_only=True)) as con:
        plan = json.loads(con.execute(f"EXPLAIN (ANALYZE, FORMAT json) {text}").fetchall()[0][1])
    found = Counter()

    def walk(operator):
        parts = operator.get("children", [])
        if not parts:
            found["scanned"] += operator["intermediate_rows"]
        if operator["type"] in ("WINDOW", "STREAMING_WINDOW"):
            found["windowed"] += operator["intermediate_rows"]
        for part in parts:
            walk(part)

    for operator in plan["operator"]:
        walk(operator)
    return found


OF_OTHERS = 500


@pytest.mark.parametrize("kept", [500_000, 0])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("of", ["trades", "quotes"])
def test_a_question_about_one_symbol_or_time_does_not_look_at_all_that_was_compared(
    monkeypatch, run, trade, of, times, kept
):
    monkeypatch.setattr(healed, "_KEPT_ROWS", kept)

    def row(n, symbol="B"):
        return trade(n, at=n, symbol=symbol) if of == "trades" else quote(n, symbol=symbol)

    said = [*map(row, range(1, OF_OTHERS)), row(1, "A")]
    run.stream(*said)
    for _ in range(times):
        run.page(*said).word()
    run.page(row(2, "A"))
    for asked in ("symbol = 'A'", "event_ns = 2", "day = '1970-01-02'"):
        work = work_of(run, f"select count(*) from {of} where {asked}")
        assert work["scanned"] < OF_OTHERS / 10, asked
    # Asked for again and again, nothing of it is in doubt but the one that was missed.
    work = work_of(run, f"select count(*) from {of}")
    assert work["windowed"] < OF_OTHERS / 10


def test_what_lies_between_two_heals_is_not_looked_at(run, trade):
    between = [trade(n, at=5 * DAY_NS + n) for n in range(OF_OTHERS)]
    run.stream(trade(1, at=5), *between, trade(2, at=20 * DAY_NS))
    run.page(trade(1, at=5), trade(3, at=6)).word().page(trade(2, at=20 * DAY_NS))
    work = work_of(run, "select count(*) from trades")
    assert work["scanned"] < OF_OTHERS * 1.1  # once, as what was streamed


# Cancels and corrections.


def correction(old, new, at, **more):
    row = {"symbol": "A", "event_ns": at, "exchange": old["exchange"]}
    for name, values in (("original", old), ("corrected", new)):
        for column in ("id", "price", "size", "conditions"):
            row[f"{name}_{column}"] = values.get(column, "")
    return ["corrections", row | more]


def test_a_healed_trade_is_cancelled_by_what_was_streamed(run, trade):
    gone = trade(1, at=5)
    cancel = taken_back(gone)
    cancel[1]["event_ns"] = 9
    run.stream(cancel).page(gone, trade(2, at=6))
    assert [row[0] for row in run.ask(EVERY)] == [2]


def test_what_rest_says_was_taken_back_is_out(run, trade):
    streamed, missed = trade(1, at=5), trade(2, at=6)
    run.stream(streamed)
    run.page(streamed, missed, flags=[taken_back(streamed), taken_back(missed, "E")])
    assert run.ask(EVERY) == []
    assert run.ask(EVERY, as_of_ns=SECOND) == [(1, 10.0, "", "")]
    assert len(run.ask("select id from trades_raw")) == 3


def test_a_cancel_that_the_stream_and_rest_tell_takes_one_trade(run, trade):
    first, second = trade(1, at=5, exchange="D"), trade(1, at=50, exchange="D")
    cancel = taken_back(first)
    cancel[1]["event_ns"] = 9
    run.stream(first, second, cancel)
    run.page(first, second, flags=[taken_back(first)]).word()
    run.page(first, second, flags=[taken_back(first)])
    assert run.ask("select event_ns from trades") == [(50,)]


def test_a_trade_that_was_streamed_otherwise_is_taken_back_as_well(run, trade):
    shown = trade(1, at=5, price=11.0)
    run.stream(trade(1, at=5, price=10.0)).page(shown, flags=[taken_back(shown)])
    assert run.ask(EVERY) == []


NEW = {"id": 11, "price": 10.5, "size": 7.0, "conditions": "Z"}


@pytest.mark.parametrize("new", [NEW, NEW | {"id": 1}], ids=["new id", "same id"])
@pytest.mark.parametrize("original", ["streamed", "missed"])
@pytest.mark.parametrize("told", ["by the stream", "by REST alone"])
def test_a_corrected_trade_stands_once_as_it_is_now(run, trade, new, original, told):
    old = trade(1, at=5)
    now = trade(at=5, id_=new["id"], **{k: v for k, v in new.items() if k != "id"})
    run.stream(trade(2, at=6), *([old] if original == "streamed" else []))
    if told == "by the stream":
        run.stream(correction(old[1], new, 9))
    run.page(old, now, flags=[taken_back(old, "E")])
    found = run.ask(EVERY)
    assert [row[:3] for row in found] == [(new["id"], 10.5, "Z"), (2, 10.0, "")]
    streamed = original == "streamed" and told == "by the stream"
    assert (found[0][3] == "rest") != streamed


def test_a_correction_of_the_conditions_alone_leaves_one_trade(run, trade):
    old, new = trade(1, at=5, conditions="@"), trade(1, at=5, conditions="@,Z")
    said = correction(old[1], new[1], 9)
    run.stream(old).page(old, new, flags=[taken_back(old, "E")])
    assert run.ask(EVERY) == [(1, 10.0, "@,Z", "rest")]
    run.stream(said)
    assert run.ask(EVERY) == [(1, 10.0, "@,Z", "")]


def test_a_replacement_whose_original_nobody_has_stands(run, trade):
    gone = trade(1, at=5)
    run.stream(correction(gone[1], NEW, 9)).page(trade(11, at=9, price=10.5, size=7.0))
    assert run.ask(EVERY) == [(11, 10.5, "", "rest")]


# Gaps.


def gap(from_ns, to_ns, state="open", **more):
    values = {"event_ns": from_ns, "from_ns": from_ns, "to_ns": to_ns, "state": state}
    return values | more


def test_a_gap_stands_once_as_the_healer_left_it(run):
    said = gap(5, 9, cause="cut", symbol="A")
    run.word(said | {"state": "healing"}, said | {"state": "healed"})
    run.stream(["gaps", gap(5, None, cause="cut", symbol="A")], ["gaps", said], ["gaps", gap(7, 8)])
    found = run.ask("select feed, symbol, from_ns, to_ns, state, cause from gaps order by from_ns")
    assert found == [("sip", "A", 5, 9, "healed", "cut"), ("sip", "", 7, 8, "open", "")]
    assert len(run.ask("select * from gaps_raw")) == 5


def test_a_suspicion_is_shown_and_what_became_of_it(run):
    ledger = {"feed": "ledger:sip", "symbol": "A"}
    run.stream(["gaps", gap(5, None, "suspect") | ledger], ["gaps", gap(5, 9, "suspect") | ledger])
    text = "select feed, symbol, from_ns, to_ns, state from gaps"
    assert run.ask(text) == [("sip", "A", 5, 9, "suspect")]
    run.word(gap(5, 9, "unhealable", symbol="A"))
    assert run.ask(text) == [("sip", "A", 5, 9, "unhealable")]


def test_the_end_of_a_gap_is_never_lost(run):
    run.stream(["gaps", gap(5, 9)]).word(gap(5, None, "healing"))
    assert run.ask("select to_ns, state from gaps") == [(9, "healing")]


# For all streams, whatever was dropped and however it was asked for.


class Print(NamedTuple):
    at: int
    id_: int | None
    exchange: str
    price: float


PRINTS = st.builds(
    Print,
    at=st.integers(0, 5),
    id_=st.sampled_from([1, 2, None]),
    exchange=st.sampled_from("DV"),
    price=st.sampled_from([1.0, 2.0]),
)
OTHERWISE = 3.0  # the price of no print of the truth


class Case(NamedTuple):
    """`requests` are (first, last, rows a page)."""

    truth: list[Print]
    streamed: list[Print]
    requests: list[tuple[int, int, int]]


def is_again(made, before):
    """What has an id is there once with the same content: a second is a duplicate, never stored."""
    return made.id_ is not None and made in before


@st.composite
def cases(draw):
    """Prints of which some were streamed, some of those with another price."""
    drawn = draw(st.lists(PRINTS, max_size=10))
    truth = [made for n, made in enumerate(drawn) if not is_again(made, drawn[:n])]
    identities = Counter(made[:3] for made in truth)
    streamed = []
    for made in truth:
        fate = draw(st.sampled_from(["streamed", "dropped", "otherwise"]))
        if fate == "otherwise" and made.id_ is not None and identities[made[:3]] == 1:
            streamed.append(made._replace(price=OTHERWISE))
        elif fate != "dropped":
            streamed.append(made)
    times = st.integers(0, 5)
    requests = draw(st.lists(st.tuples(times, times, st.integers(1, 4)), min_size=1, max_size=3))
    return Case(truth, draw(st.permutations(streamed)), requests)


def play(run, trade, case):
    """What the view shows; every request is made twice."""
    run.stream(*(trade(**made._asdict()) for made in case.streamed))
    for low, high, limit in [*case.requests, *case.requests]:
        wanted = [made for made in case.truth if low <= made.at <= high]
        wanted.sort(key=lambda made: (made.at, made.exchange, made.id_ or -1))
        run.word()
        for at in range(0, len(wanted), limit):
            run.page(*(trade(**made._asdict()) for made in wanted[at : at + limit]))
    return Counter(run.ask("select event_ns, id, exchange, price from trades"))


def expected(case):
    """All that was streamed, and of the truth what was asked for and not streamed otherwise."""
    shown = Counter(map(tuple, case.streamed))
    otherwise = {made[:3] for made in case.streamed if made.price == OTHERWISE}
    for made, count in Counter(case.truth).items():
        asked = any(low <= made.at <= high for low, high, _ in case.requests)
        if asked and made[:3] not in otherwise:
            shown[tuple(made)] = count
    return shown


@settings(max_examples=40)
@given(case=cases(), kept=st.sampled_from(KEPT), part_ns=st.sampled_from(PARTS_NS))
def test_every_trade_is_there_exactly_once_whatever_was_dropped_and_asked(
    tape, tmp_path_factory, case, kept, part_ns
):
    run = Run(tape, tmp_path_factory.getbasetemp() / "nothing stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(healed, "_KEPT_ROWS", kept)
        patch.setattr(healed, "_PART_NS", part_ns)
        assert play(run, tape.trade, case) == expected(case)


class Told(NamedTuple):
    """What was streamed, and what each request was answered, as it was told then."""

    streamed: list[Print]
    answers: list[list[Print]]
    limits: list[int]


LATER = 4.0


@st.composite
def told_cases(draw):
    """REST may tell a trade otherwise the next time, or not yet have had it the time before."""
    case = draw(cases())
    answers, limits = [], []
    for low, high, limit in [*case.requests, *case.requests]:
        wanted = [made for made in case.truth if low <= made.at <= high]
        wanted.sort(key=lambda made: (made.at, made.exchange, made.id_ or -1))
        answer: list[Print] = []
        for made in wanted:
            fate = draw(st.sampled_from(["same", "same", "same", "otherwise", "not yet"]))
            told = made._replace(price=LATER) if fate == "otherwise" and made.id_ else made
            if fate != "not yet" and not is_again(told, answer):
                answer.append(told)
        answers.append(answer)
        limits.append(limit)
    return Told(case.streamed, answers, limits)


def identity_of(made):
    return made[:3] if made.id_ is not None else made


def by_identity(prints):
    found = {}
    for made in prints:
        found.setdefault(identity_of(made), []).append(made)
    return found


def faults_of(run, trade, told):
    """What is wrong in what the view shows, and in what `check` counts."""
    run.stream(*(trade(**made._asdict()) for made in told.streamed))
    for answer, limit in zip(told.answers, told.limits, strict=True):
        run.word()
        for at in range(0, len(answer), limit):
            run.page(*(trade(**made._asdict()) for made in answer[at : at + limit]))
    shown = [Print(*row) for row in run.ask("select event_ns, id, exchange, price from trades")]
    streamed, there = by_identity(told.streamed), by_identity(shown)
    answers = [by_identity(answer) for answer in told.answers]
    faults = []
    for identity in {*streamed, *there, *(each for answer in answers for each in answer)}:
        here = Counter(there.get(identity, []))
        heard = Counter(streamed.get(identity, []))
        said = [answer[identity] for answer in answers if identity in answer]
        most = max(map(len, said), default=0)
        newest = next((Counter(rows) for rows in reversed(said) if len(rows) == most), Counter())
        if heard - here or here.total() != max(heard.total(), most):
            faults.append((identity, "number", here))
        elif here - heard - newest:
            faults.append((identity, "content", here))
    more = len(shown) - len(told.streamed)
    if lacking_of(run, told) != more:
        faults.append("check counts otherwise")
    return faults


def lacking_of(run, told):
    """How many trades REST had and the stream had not, as `check` counts them."""
    with duckdb.connect(":memory:") as con:
        witnesses = Witnesses(con)
        blocks = run.blocks["sip.rest"]
        for rows in run.tape.Decoder("sip.rest").tables(blocks).values():
            witnesses.add_rest("sip.rest", "trades", rows)
        requests, pages = 0, []
        for block in blocks:
            requests += len(block.entries()) == 1  # a word of the healer
            pages.append((block.epoch, block.seq + 1, requests))
        witnesses.add_pages("sip", pages)
        for rows in run.tape.Decoder("sip").tables(run.blocks["sip"]).values():
            witnesses.add_streamed("sip", "trades", rows)
        return sum(each.number for each in witnesses.lacking())


@settings(max_examples=25)
@given(told=told_cases(), kept=st.sampled_from(KEPT), part_ns=st.sampled_from(PARTS_NS))
def test_a_trade_stands_once_although_rest_tells_it_otherwise_the_next_time(
    tape, tmp_path_factory, told, kept, part_ns
):
    run = Run(tape, tmp_path_factory.getbasetemp() / "nothing stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(healed, "_KEPT_ROWS", kept)
        patch.setattr(healed, "_PART_NS", part_ns)
        assert faults_of(run, tape.trade, told) == []


# The first counterexample will do: there is no need to make it small.
ANY = settings(max_examples=400, database=None, phases=[Phase.generate], derandomize=True)
MUTANTS = {
    "by id alone": (
        "WHERE is_rest AND turn > others",
        "WHERE is_rest AND of_stream = 0 AND others = 0 AND turn = 1",
    ),
    "the sum of requests": ("QUALIFY NOT is_rest OR dense_rank", "QUALIFY true OR dense_rank"),
    "each page for itself": ("(epoch, seq + 2, last)", "(epoch, seq + 3, last)"),
    "equal rows are one": ("WHERE is_rest AND turn > others", "WHERE is_rest AND nth = 1"),
}
RULES = ("_MATCHED", "_SEAMS")


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_rule_that_is_too_simple_would_be_found_out(monkeypatch, tape, tmp_path, mutant):
    right, wrong = MUTANTS[mutant]
    rules = {name: getattr(healed, name) for name in RULES}
    assert sum(rule.count(right) for rule in rules.values()) == 1
    for name, rule in rules.items():
        monkeypatch.setattr(healed, name, rule.replace(right, wrong))

    def is_wrong(case):
        return play(Run(tape, tmp_path), tape.trade, case) != expected(case)

    find(cases(), is_wrong, settings=ANY)


# Against the simulator: what it dropped, and what its REST interface shows in the end.

KEYS = {"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": "demo-secret"}
CONTENT = ("symbol", "event_ns", "exchange", "id", "price", "size", "conditions", "tape")


def rest_block(tape, low_ns, high_ns, number):
    """The pages of one request for all symbols, as blocks of the healer's journal."""
    venue = Venue({"/v2/sip": SimpleNamespace(tape=tape, rows_played=len(tape))}, RestConfig())
    asked = {"symbols": ",".join(tape.symbols), "limit": "97"}
    asked |= {"start": iso_utc(low_ns), "end": iso_utc(high_ns)}
    blocks, token = [], None
    while not blocks or token is not None:
        query = asked | ({"page_token": token} if token else {})
        answer = venue.answer("/v2/stocks/trades", query, KEYS, now_ns=1_800_000_000 * 10**9)
        token = json.loads(answer.body)["next_page_token"]
        entries = [(2, b'{"event":"page"}'), (0, answer.body)]
        blocks.append(block_of(entries, number + 3 * len(blocks), SECOND))
    return blocks


def block_of(entries, seq, recv_ns):
    return SimpleNamespace(epoch=1, seq=seq, recv_ns=recv_ns, entries=lambda: entries)


def valid_trades(tape):
    """The trades that stand in the end, as the simulator knows them."""
    amended = amended_trades(tape)
    words = {flag.row: flag.word for flag in amended.flags}
    rows = enumerate(amended.table.select(CONTENT).to_pylist())
    return Counter(tuple(r.values()) for n, r in rows if words.get(n, CORRECTED) == CORRECTED)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("place", ["after", "before"])
def test_whatever_the_stream_lost_of_trades_and_amendments_the_view_is_the_truth(
    monkeypatch, tmp_path, seed, place
):
    monkeypatch.setattr(healed, "_KEPT_ROWS", (500_000, 100, 0)[seed])
    tricks = (f"changes_{place}=6", "changes_without=3", "id_collisions=2")
    made = generate_tape(seed=seed, symbols=3, events=1_500).only(["trades"])
    whole = play_tricks({"": made}, parse_faults(tricks), seed)[""]
    rng = random.Random(seed)
    kept = {
        kind: table.filter(pa.array([rng.random() > 0.3 for _ in range(len(table))]))
        for kind, table in whole.tables.items()
    }
    tables = {kind: as_streamed(kind, table) for kind, table in kept.items()}
    times = [t["event_ns"] for t in amended_trades(whole).table.select(["event_ns"]).to_pylist()]
    low_ns, middle_ns, high_ns = min(times), sorted(times)[len(times) // 2], max(times)
    blocks = rest_block(whole, low_ns, high_ns, 0)
    blocks += rest_block(whole, middle_ns, high_ns, 100_000)
    for kind, table in decoder_for("alpaca_rest", "sip.rest").tables(blocks).items():
        tables[kind] = pa.concat_tables([tables[kind], once(table) if kind == "trades" else table])
    with connect(TableStore(tmp_path, read_only=True), tables) as con:
        shown = run_sql(con, f"select {', '.join(CONTENT)}, feed from trades").to_pylist()
    assert {row.pop("feed") for row in shown} == {"sip"}
    assert Counter(tuple(row.values()) for row in shown) == valid_trades(whole)


def as_streamed(kind, table):
    """Rows of a tape as a decoder makes them, one entry each."""
    origin = {"feed": "sip", "witness": "stream", "recv_ns": 0, "epoch": 1, "index": 0}
    rows = [origin | {"seq": n} | row for n, row in enumerate(table.to_pylist())]
    texts = {field.name for field in KINDS[kind] if field.type == pa.string()}
    for row in rows:
        row.update({name: "" for name in texts if row.get(name) is None})
    return pa.Table.from_pylist(rows, schema=KINDS[kind])


def once(trades):
    """Trades as the table's own de-duplication leaves them."""
    return Deduplicator("sip.rest", lambda *_: None, None).take(trades).rows
