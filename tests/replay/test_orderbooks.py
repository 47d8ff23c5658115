"""A book out of the tables is the one that was put together step by step, or says it is lost."""

from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticktape.decoders.projection import table_of
from ticktape.errors import ConfigError
from ticktape.orderbook import OrderBooks
from ticktape.records import CryptoBook, Gap, News, Status, Unknown
from ticktape.replay.orderbooks import book_at
from ticktape.table.query import connect
from ticktape.table.store import TableStore
from ticktape.tape import Tape

BTC, ETH = "BTC/USD", "ETH/USD"
STEP_NS = 10  # between two receipts


def change(seq, bids=(), asks=(), *, reset=False, symbol=BTC, feed="crypto"):
    return CryptoBook(
        feed=feed,
        symbol=symbol,
        event_ns=seq * STEP_NS - 3,
        recv_ns=seq * STEP_NS,
        epoch=0,
        seq=seq,
        index=0,
        reset=reset,
        bid_prices=tuple(price for price, _ in bids),
        bid_sizes=tuple(size for _, size in bids),
        ask_prices=tuple(price for price, _ in asks),
        ask_sizes=tuple(size for _, size in asks),
    )


def whole(seq, **more):
    return change(seq, [(10.0, 1.0)], [(11.0, 2.0)], reset=True, **more)


def gap(seq, from_ns, to_ns=None, *, symbol=""):
    return Gap(
        feed="crypto",
        symbol=symbol,
        event_ns=from_ns,
        recv_ns=seq * STEP_NS,
        epoch=0,
        seq=seq,
        index=0,
        from_ns=from_ns,
        to_ns=to_ns,
        cause="the cable",
    )


def unknown(seq):
    stamps = {"event_ns": seq, "recv_ns": seq * STEP_NS, "epoch": 0, "seq": seq, "index": 0}
    return Unknown(feed="crypto", symbol="", reason="", text="?", **stamps)


def article(seq):
    return News(
        feed="news",
        symbol="MSFT",
        event_ns=seq * STEP_NS,
        recv_ns=seq * STEP_NS,
        epoch=0,
        seq=seq,
        index=0,
        id=7,
        headline="both",
        summary="",
        author="",
        source="",
        url="",
        content="",
        symbols=("MSFT", "AAPL"),
        created_ns=1,
        updated_ns=seq * STEP_NS,
    )


def halt(seq):
    return Status(
        feed="sip",
        symbol="AAPL",
        event_ns=seq * STEP_NS,
        recv_ns=seq * STEP_NS,
        epoch=0,
        seq=seq,
        index=0,
        status_code="H",
        status_message="Trading Halt",
        reason_code="",
        reason_message="",
    )


def tables_of(records):
    """The rows by kind, in an order that says nothing."""
    kinds = {}
    for record in reversed(records):
        kinds.setdefault(record.kind, []).append(record)
    return {kind: table_of(kind, found) for kind, found in kinds.items()}


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Ask for a book among these records."""
    store = TableStore(tmp_path_factory.mktemp("run"), read_only=True)

    def call(records, at_ns, feed=None, symbol=BTC):
        with among(records) as asked:
            return asked(at_ns, feed, symbol)

    @contextmanager
    def among(records):
        """Ask for many among the same records."""
        with connect(store, tables_of(records)) as con:
            yield lambda at_ns, feed, symbol: book_at(con, symbol, at_ns, feed)

    call.among = among
    return call


LEVELS = st.lists(
    st.tuples(st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([0.0, 1.0, 2.0])), max_size=3
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["whole", "change", "change"]), st.sampled_from([BTC, ETH])),
        st.tuples(st.sampled_from(["gap", "end", "over"]), st.sampled_from(["", BTC, ETH])),
        st.tuples(st.just("unknown"), st.just("")),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=25)
@given(EVENTS, st.lists(st.tuples(LEVELS, LEVELS), min_size=12, max_size=12))
def test_a_book_at_any_moment_is_the_one_put_together_up_to_it(ask, events, sides):
    records, open_ns = [], {}
    for seq, ((what, symbol), levels) in enumerate(zip(events, sides, strict=False), 1):
        from_ns = (seq - 1) * STEP_NS + 1  # after the receipt before it
        if what in ("whole", "change"):
            records.append(change(seq, *levels, reset=what == "whole", symbol=symbol))
        elif what == "unknown":
            records.append(unknown(seq))
        elif what == "end" and symbol in open_ns:
            records.append(gap(seq, open_ns.pop(symbol), seq * STEP_NS, symbol=symbol))
        else:
            to_ns = None if what == "gap" else seq * STEP_NS
            records.append(gap(seq, from_ns, to_ns, symbol=symbol))
            if what == "gap":
                open_ns[symbol] = from_ns
    books = OrderBooks()
    with ask.among(records) as asked:
        for record in records:
            books.update(record)
            for symbol in (BTC, ETH):
                kept = books.get("crypto", symbol)
                found = asked(record.recv_ns, "crypto", symbol)
                if kept is None or kept.event_ns == 0:
                    assert found is None
                else:
                    image = kept.image("crypto", symbol)
                    assert (found.is_valid, found.bids(), found.asks(), found.event_ns) == (
                        image.is_valid,
                        image.bids(),
                        image.asks(),
                        image.event_ns,
                    )


def test_what_was_received_in_the_moment_is_in_and_later_is_not(ask):
    records = [whole(1), change(2, [(9.0, 5.0)])]
    assert ask(records, 9) is None
    assert ask(records, 19).bids() == ((10.0, 1.0),)
    assert ask(records, 20).bids() == ((10.0, 1.0), (9.0, 5.0))


def test_inside_a_gap_that_was_noticed_later_there_is_no_book(ask):
    records = [whole(1), gap(5, 10), whole(6), gap(7, 10, 60)]
    assert ask(records, 10).is_valid
    for at_ns in (11, 49, 50, 59):
        assert (ask(records, at_ns).is_valid, ask(records, at_ns).invalid_since_ns) == (False, 10)
    assert ask(records, 60).is_valid
    assert ask(records, 99).is_valid, "the end of that gap is no gap"


def test_where_our_clock_stepped_back_the_order_of_the_journal_counts(ask):
    first = [whole(10), change(11, [(9.0, 5.0)])]
    # The clock goes back: to 30, then 40, 50.
    after = [
        msgspec.structs.replace(each, seq=seq, recv_ns=recv_ns)
        for seq, recv_ns, each in [
            (12, 30, change(12, [(8.0, 1.0)])),
            (13, 40, change(13, [(10.0, 0.0)])),
            (14, 120, change(14, [(7.0, 1.0)])),
        ]
    ]
    assert ask(first + after, 29) is None, "before all of it"
    assert ask(first + after, 30).bids() == ((10.0, 1.0), (9.0, 5.0), (8.0, 1.0))
    assert ask(first + after, 110).bids() == ((9.0, 5.0), (8.0, 1.0))
    lost = msgspec.structs.replace(gap(12, 105), seq=12, index=-1)
    assert not ask([*first, lost, *after], 30).is_valid, "of which the beginning seems later"


def damaged(from_ns, to_ns):
    """As the ledger tells of it, in a journal of its own, long after."""
    told = gap(900, from_ns, to_ns)
    told = msgspec.structs.replace(told, feed="ledger:crypto", cause="the journal is damaged")
    return msgspec.structs.replace(told, epoch=7, seq=3)


def test_across_damage_of_the_journal_there_is_no_book_until_a_whole_one_comes(ask):
    lost = damaged(31, 50)
    records = [whole(1), change(3, [(9.0, 1.0)]), change(5, [(8.0, 1.0)]), whole(7), lost]
    assert ask(records, 30).is_valid
    assert not ask(records, 40).is_valid
    assert not ask(records, 50).is_valid
    assert not ask(records, 69).is_valid
    assert ask(records, 70).is_valid
    # A suspicion of the ledger's is no loss, and damage of another feed is not of this one.
    other = msgspec.structs.replace(lost, cause="no change for 9 s", state="suspect")
    assert ask([*records[:-1], other], 50).is_valid
    assert ask([*records[:-1], msgspec.structs.replace(lost, feed="ledger:sip")], 50).is_valid


def test_without_a_feed_it_is_the_one_that_changed_last(ask):
    records = [whole(1), change(2, [(20.0, 1.0)], reset=True, feed="other"), change(3)]
    assert ask(records, 20).feed == "other"
    assert ask(records, 30).feed == "crypto"
    assert ask(records, 30, "other").bids() == ((20.0, 1.0),)
    assert ask(records, 30, "nosuch") is None
    assert ask(records, 30, symbol="nosuch") is None


def test_changes_alone_are_no_book(ask):
    assert ask([change(1, [(9.0, 1.0)])], 99) is None


@pytest.fixture
def tape(tmp_path, monkeypatch):
    """A tape whose rows are laid out here."""
    (tmp_path / "feeds").mkdir()
    (tmp_path / "run.toml").write_text("")
    records = [whole(1), change(2, [(9.0, 5.0)]), whole(3, symbol=ETH), article(4), halt(5)]
    store = TableStore(tmp_path, read_only=True)
    monkeypatch.setattr(
        "ticktape.tape.connect_run", lambda *_, **__: connect(store, tables_of(records))
    )
    with Tape(tmp_path) as opened:
        yield opened


def test_a_tape_gives_its_books_and_their_changes(tape):
    assert tape.book_at(BTC, "1970-01-01T00:00:00.00000002").bids(1) == ((10.0, 1.0),)
    assert tape.book_at(BTC, 20, "crypto").event_ns == 17
    assert tape.crypto_books(BTC)["reset"].to_pylist() == [True, False]
    assert tape.crypto_books(start=20)["symbol"].to_pylist() == [ETH]
    assert tape.statuses("AAPL")["status_code"].to_pylist() == ["H"]
    assert tape.statuses("AAPL", end=50).num_rows == 0
    assert tape.news("AAPL")["headline"].to_pylist() == ["both"], (
        "not only the first of its symbols"
    )
    assert (tape.news("A").num_rows, tape.news().num_rows, tape.news(start=41).num_rows) == (
        0,
        1,
        0,
    )
    with pytest.raises(ConfigError):
        tape.book_at(BTC, "soon")
