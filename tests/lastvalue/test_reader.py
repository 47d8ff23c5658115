"""A reader follows the file wherever it goes and never mixes two values."""

import pyarrow as pa
import pytest

from ticktape.lastvalue import LastValues, LastValueWriter, layout, snapshot
from ticktape.lastvalue.reader import LOOK_NS
from ticktape.records import Bar, Quote, Trade

BOOT = bytes(range(16))


def trade(symbol="AAPL", event_ns=1, *, feed="sip", price=1.0, trade_id=None):
    return Trade(
        feed=feed,
        symbol=symbol,
        event_ns=event_ns,
        recv_ns=event_ns + 5,
        epoch=1,
        seq=event_ns,
        index=0,
        price=price,
        size=100.0,
        exchange="V",
        id=trade_id,
        conditions="@,I",
        tape="C",
    )


def quote(symbol="AAPL", event_ns=1, *, feed="sip", bid=1.0):
    return Quote(
        feed=feed,
        symbol=symbol,
        event_ns=event_ns,
        recv_ns=event_ns + 5,
        epoch=1,
        seq=event_ns,
        index=0,
        bid_price=bid,
        bid_size=1.0,
        ask_price=bid + 1,
        ask_size=2.0,
    )


class FakeClock:
    def __init__(self):
        self.now_ns = 0

    def __call__(self):
        return self.now_ns


@pytest.fixture
def path(tmp_path):
    return tmp_path / "last.map"


def test_a_record_comes_back_as_it_was_given(path):
    given = trade(trade_id=96921, price=171.25)
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([given])
        value = last["AAPL"]
    assert value.trade == given
    assert (value.quote, value.bar, value.day, value.torn, value.cut) == (None, None, None, (), ())
    assert value.feeds == ("sip",)
    assert "171.25" in repr(value)


def test_a_value_does_not_change_once_taken(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([trade(price=1.0)])
        value = last["AAPL"]
        writer.update([trade(event_ns=2, price=2.0)])
        assert value.trade.price == 1.0
        assert last["AAPL"].trade.price == 2.0


def test_age_is_from_the_event(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([trade(event_ns=100), quote(event_ns=40)])
        value = last["AAPL"]
    assert value.age_ns(150) == 50
    assert value.age_ns(150, "trade") == 50
    assert value.age_ns(150, "quote") == 110
    assert value.age_ns(150, "bar") is None


def test_of_several_feeds_the_newest_event_wins_kind_by_kind(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update(
            [
                trade(event_ns=5, feed="sip", price=5.0),
                trade(event_ns=7, feed="iex", price=7.0),
                quote(event_ns=9, feed="sip", bid=9.0),
                quote(event_ns=8, feed="iex", bid=8.0),
            ]
        )
        value = last["AAPL"]
        assert (value.trade.feed, value.quote.feed) == ("iex", "sip")
        assert value.feeds == ("sip", "iex")
        assert last.get("sip", "AAPL").trade.price == 5.0
        assert last["sip", "AAPL"].trade.price == 5.0
        assert list(last) == [("sip", "AAPL"), ("iex", "AAPL")]
        assert "AAPL" in last
        assert ("iex", "AAPL") in last
        assert ("boats", "AAPL") not in last
        assert last.get("boats", "AAPL") is None
        assert len(last) == 2


def test_what_never_came_is_a_key_error(path):
    with LastValueWriter(path, BOOT, 8), LastValues(path) as last:
        with pytest.raises(KeyError):
            last["AAPL"]
        with pytest.raises(KeyError):
            last["sip", "AAPL"]


def test_before_there_is_a_file_there_are_no_values_and_then_there_are(path):
    with LastValues(path) as last:
        assert list(last) == []
        assert last.statistics() is None
        assert last.snapshot().num_rows == 0
        with LastValueWriter(path, BOOT, 8) as writer:
            writer.update([trade()])
            assert last["AAPL"].trade is not None
            assert last.statistics().records == 1


def test_new_symbols_are_picked_up(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([trade("AAPL")])
        assert list(last) == [("sip", "AAPL")]
        writer.update([trade("MSFT"), quote("AAPL")])
        assert last["MSFT"].trade is not None
        assert last["AAPL"].quote is not None


def test_a_file_made_anew_in_place_is_followed_at_once(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([trade("AAPL", price=1.0), trade("MSFT", price=2.0)])
    with LastValues(path, monotonic_ns=FakeClock()) as last:
        assert last["AAPL"].trade.price == 1.0
        with LastValueWriter(path, bytes(16), 16) as writer:
            writer.update([trade("TSLA", price=3.0), trade("AAPL", price=4.0)])
            assert "MSFT" not in last
            assert last["AAPL"].trade.price == 4.0
            assert list(last) == [("sip", "TSLA"), ("sip", "AAPL")]


def test_a_deleted_and_recreated_file_is_followed_within_the_look_interval(path):
    clock = FakeClock()
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([trade(price=1.0)])
    with LastValues(path, monotonic_ns=clock) as last:
        assert last["AAPL"].trade.price == 1.0
        path.rename(path.with_suffix(".old"))
        with LastValueWriter(path, BOOT, 8) as writer:
            writer.update([trade(price=2.0)])
            clock.now_ns += LOOK_NS + 1
            assert last["AAPL"].trade.price == 2.0
        path.unlink()
        last.refresh()
        assert list(last) == []


def test_a_cell_that_changes_owner_while_it_is_read_is_read_again(path):
    """The file is made anew between finding and reading the cell: never another's value."""
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([trade("AAPL", price=1.0)])
    with LastValues(path, monotonic_ns=FakeClock()) as last:
        assert last["AAPL"].trade.price == 1.0
        mapping = last._mapping
        original = type(mapping).load_cell

        class Renewing:
            """The mapping, with a writer of another boot coming just before the read."""

            def __getattr__(self, name):
                return getattr(mapping, name)

            def load_cell(self, cell):
                with LastValueWriter(path, bytes(16), 8) as writer:
                    writer.update([trade("TSLA", price=9.0), trade("AAPL", price=2.0)])
                return original(mapping, cell)

        last._mapping = Renewing()
        assert last["AAPL"].trade.price == 2.0


def test_a_cell_left_odd_is_named_torn_and_not_waited_for(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([trade(), quote()])
        writer._mapping.words[layout.CELLS.cell_word(0)] += 1
    with LastValues(path) as last:
        value = last["AAPL"]
        assert value.torn == ("trade",)
        assert value.trade is None
        assert value.quote is not None
        assert last.torn_reads == 1
        table = last.snapshot()
        assert table["trade_price"].to_pylist() == [None]
        assert table["bid_price"].to_pylist() == [1.0]
    # A whole cell that was left odd is whole again once a writer has opened the file.
    with LastValueWriter(path, BOOT, 8), LastValues(path) as last:
        assert last["AAPL"].trade == trade()


def test_a_flipped_bit_is_never_a_value(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([trade(), trade("MSFT")])
        writer._mapping.view[layout.HEAD_BYTES + 120] ^= 4
        with LastValues(path) as last:
            assert last["AAPL"].torn == ("trade",)
            assert last["AAPL"].trade is None
            assert last["MSFT"].trade == trade("MSFT")


def test_the_snapshot_has_every_field_of_every_record(path):
    bar = Bar(
        feed="sip",
        symbol="MSFT",
        event_ns=60,
        recv_ns=61,
        epoch=1,
        seq=9,
        index=2,
        witness="rest",
        span="minute",
        open=1.0,
        high=4.0,
        low=0.5,
        close=2.0,
        volume=77.0,
        vwap=None,
        trade_count=3,
    )
    records = [trade("AAPL", 7, trade_id=11), quote("AAPL", 8), bar, trade("TSLA", 3)]
    with LastValueWriter(path, BOOT, 16) as writer, LastValues(path) as last:
        writer.update(records)
        table = last.snapshot()
        prices = last.array("trade")
    assert table.schema.equals(snapshot.SCHEMA)
    assert table["symbol"].to_pylist() == ["AAPL", "MSFT", "TSLA"]
    rows = {row["symbol"]: row for row in table.to_pylist()}
    prefixes = {Trade: "trade_", Quote: "quote_", Bar: "bar_"}
    for record in records:
        row = rows[record.symbol]
        for field in record.__struct_fields__:
            if field in ("feed", "symbol"):
                continue
            name = field if field.startswith(("bid_", "ask_")) else prefixes[type(record)] + field
            assert row[name] == getattr(record, field), name
    assert rows["AAPL"]["bar_close"] is None
    assert rows["TSLA"]["trade_id"] is None
    assert rows["MSFT"]["bid_price"] is None
    assert prices["symbol"].tolist() == [b"AAPL", b"TSLA"]
    assert prices["price"].tolist() == [1.0, 1.0]


def test_an_empty_table_has_the_same_columns(path):
    with LastValueWriter(path, BOOT, 8), LastValues(path) as last:
        table = last.snapshot()
        assert isinstance(table, pa.Table)
        assert table.schema.equals(snapshot.SCHEMA)
        assert last.array("quote").shape == (0,)


def test_close_may_be_called_twice(path):
    writer = LastValueWriter(path, BOOT, 8)
    last = LastValues(path)
    writer.close()
    writer.close()
    last.close()
    last.close()
