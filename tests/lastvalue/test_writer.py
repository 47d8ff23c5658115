"""The writer moves forward only, places what it can, counts the rest, and takes over."""

import errno
import os
import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.errors import Full, WriteFailed
from ticktape.lastvalue import LastValues, LastValueWriter, layout, mapfile
from ticktape.records import Bar, Cancel, Position, Quote, Trade

BOOT = bytes(range(16))
OTHER_BOOT = bytes(16)


def trade(symbol="AAPL", event_ns=1, seq=0, *, feed="sip", epoch=1, index=0, **more):
    fields = {"price": 1.0, "size": 100.0, "recv_ns": event_ns + 5, **more}
    return Trade(
        feed=feed, symbol=symbol, event_ns=event_ns, epoch=epoch, seq=seq, index=index, **fields
    )


def quote(symbol="AAPL", event_ns=1, seq=0):
    return Quote(
        feed="sip",
        symbol=symbol,
        event_ns=event_ns,
        recv_ns=event_ns,
        epoch=1,
        seq=seq,
        index=0,
        bid_price=1.0,
        bid_size=1.0,
        ask_price=2.0,
        ask_size=2.0,
    )


def bar(symbol="AAPL", event_ns=1, seq=0, *, span="minute", close=1.0):
    return Bar(
        feed="sip",
        symbol=symbol,
        event_ns=event_ns,
        recv_ns=event_ns,
        epoch=1,
        seq=seq,
        index=0,
        span=span,
        open=1.0,
        high=1.0,
        low=1.0,
        close=close,
        volume=1.0,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "live" / "last.map"


def is_accounted_for(statistics):
    return statistics.records == (
        statistics.written
        + statistics.conflated
        + statistics.late
        + statistics.ignored
        + statistics.full
        + statistics.oversize
        + statistics.unfit
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from("AB"),
            st.integers(0, 3),
            st.integers(0, 1),
            st.integers(0, 2),
            st.integers(0, 1),
        ),
        max_size=25,
    ),
    st.integers(1, 6),
)
def test_the_greatest_event_epoch_seq_index_wins_however_it_is_batched(
    tmp_path_factory, prints, batch
):
    path = tmp_path_factory.mktemp("map") / "last.map"
    records = [
        trade(symbol, event_ns, seq, epoch=epoch, index=index)
        for symbol, event_ns, epoch, seq, index in prints
    ]
    expected = {}
    for record in records:
        order = (record.event_ns, record.epoch, record.seq, record.index)
        held = expected.get(record.symbol)
        if held is None or order > held[0]:
            expected[record.symbol] = (order, record)
    with LastValueWriter(path, BOOT, 4) as writer, LastValues(path) as last:
        for chunk in [records[at : at + batch] for at in range(0, len(records), batch)]:
            writer.update(chunk)
        assert {symbol: last[symbol].trade for _, symbol in last} == {
            symbol: record for symbol, (_, record) in expected.items()
        }
        assert is_accounted_for(writer.statistics())


def test_a_batch_writes_each_cell_once(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update(trade(event_ns=ns) for ns in range(1, 101))
        statistics = writer.statistics()
    assert (statistics.written, statistics.conflated) == (1, 99)


def test_a_late_print_never_replaces(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([trade(event_ns=10, seq=1, price=10.0)])
        writer.update([trade(event_ns=9, seq=2, price=9.0)])
        assert last["AAPL"].trade.price == 10.0
        assert writer.statistics().late == 1


def test_trade_quote_minute_and_day_have_cells_of_their_own(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update(
            [
                trade(event_ns=100),
                quote(event_ns=90),
                bar(event_ns=60, close=2.0),
                bar(event_ns=60, seq=1, span="updated", close=3.0),
                bar(event_ns=0, seq=2, span="day", close=4.0),
            ]
        )
        value = last["AAPL"]
        assert value.trade.event_ns == 100
        assert value.quote.event_ns == 90
        assert value.bar.close == 3.0
        assert value.day.close == 4.0


def test_what_has_no_cell_is_counted_and_never_raises(path):
    cancel = Cancel(
        feed="sip",
        symbol="AAPL",
        event_ns=1,
        recv_ns=1,
        epoch=1,
        seq=0,
        index=0,
        exchange="V",
        id=1,
        price=1.0,
        size=1.0,
        action="C",
    )
    with LastValueWriter(path, BOOT, 2) as writer, LastValues(path) as last:
        writer.update(
            [
                trade("AAPL"),
                cancel,
                trade("x" * 33),
                trade("AAPL", feed="f" * 17),
                trade("MSFT"),
                trade("TSLA"),
                trade("TSLA", event_ns=2),
                trade("AAPL", event_ns=2, conditions="c" * 65),
            ]
        )
        statistics = writer.statistics()
        assert list(last) == [("sip", "AAPL"), ("sip", "MSFT")]
        assert (statistics.ignored, statistics.oversize, statistics.full) == (1, 2, 2)
        assert statistics.cut == 1
        assert last["AAPL"].cut == ("trade",)
        assert last["AAPL"].trade.conditions == "c" * 64
        assert is_accounted_for(statistics)


def test_a_number_outside_its_field_leaves_the_cell_as_it_was_and_as_beatable(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([trade("NEW", event_ns=2**63)])
        writer.update([trade(event_ns=5, price=5.0)])
        writer.update([trade(event_ns=2**63)])
        assert last["AAPL"].trade.price == 5.0
        writer.update([trade(event_ns=6, price=6.0), trade("NEW", event_ns=6, price=7.0)])
        assert last["AAPL"].trade.price == 6.0
        assert last["NEW"].trade.price == 7.0
        assert writer.statistics().unfit == 2
        assert is_accounted_for(writer.statistics())


def test_records_before_a_raising_source_are_written(path):
    def source():
        yield trade(event_ns=3)
        raise ValueError("the decoder's own")

    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        with pytest.raises(ValueError, match="own"):
            writer.update(source())
        assert last["AAPL"].trade.event_ns == 3
        writer.update([trade(event_ns=4)])
        assert last["AAPL"].trade.event_ns == 4


def test_the_file_has_a_block_behind_every_byte(path):
    with LastValueWriter(path, BOOT, 1000):
        status = path.stat()
    assert status.st_size == layout.CELLS.file_bytes(1000)
    assert status.st_blocks * 512 >= status.st_size


def test_a_sparse_file_is_filled_when_it_is_made_anew(path):
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(layout.CELLS.file_bytes(1000))
    with LastValueWriter(path, BOOT, 1000):
        status = path.stat()
    assert status.st_blocks * 512 >= status.st_size


def test_a_writer_of_the_same_boot_goes_on_where_the_last_one_stood(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([trade(event_ns=10, seq=3), quote(event_ns=4)])
        writer.set_position("sip", Position(7, 4096))
        writer.set_position("sip.rest", Position(2, 0))
        before = writer.statistics()
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        assert writer.position("sip") == Position(7, 4096)
        assert writer.position("sip.rest") == Position(2, 0)
        assert writer.position("iex") is None
        assert writer.statistics() == before
        writer.update([trade(event_ns=10, seq=2), trade(event_ns=10, seq=3), quote("MSFT")])
        assert last["AAPL"].trade.seq == 3
        assert writer.statistics().late == 2
        assert last["MSFT"].quote is not None


def damage_magic(view):
    view[0] ^= 1


def damage_version(view):
    view[layout.WORD_VERSION * 8] ^= 1


def damage_cell_size(view):
    view[layout.WORD_CELL_BYTES * 8] ^= 1


def damage_count(view):
    view[layout.WORD_COUNT * 8 + 7] = 0xFF


def damage_even_cell(view):
    view[layout.HEAD_BYTES + 200] ^= 1


@pytest.mark.parametrize(
    "damage", [damage_magic, damage_version, damage_cell_size, damage_count, damage_even_cell]
)
def test_a_file_in_doubt_is_made_anew(path, damage):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([trade()])
        writer.set_position("sip", Position(1, 2))
    content = bytearray(path.read_bytes())
    damage(content)
    path.write_bytes(content)
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        assert writer.position("sip") is None
        assert list(last) == []
        assert writer.statistics().records == 0
        writer.update([trade(event_ns=1)])
        assert last["AAPL"].trade.event_ns == 1


@pytest.mark.parametrize(("boot", "capacity"), [(OTHER_BOOT, 8), (BOOT, 4), (BOOT, 16)])
def test_another_boot_or_capacity_makes_the_file_anew(path, boot, capacity):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([trade()])
    with LastValueWriter(path, boot, capacity) as writer, LastValues(path) as last:
        assert list(last) == []
        assert writer.statistics().capacity == capacity


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 10_000])
def test_any_other_file_in_its_place_is_made_anew(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([trade()])
        assert list(last) == [("sip", "AAPL")]


def test_a_position_past_the_slots_or_with_a_long_name_is_counted(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        for number in range(layout.POSITIONS):
            writer.set_position(f"feed-{number}", Position(1, number))
        writer.set_position("one too many", Position(1, 1))
        writer.set_position("n" * 33, Position(1, 1))
        assert writer.position("one too many") is None
        assert writer.position(f"feed-{layout.POSITIONS - 1}") == Position(1, layout.POSITIONS - 1)
        writer.update([])
        assert writer.statistics().unkept == 2


def test_the_offset_is_never_paired_with_another_epoch(path, monkeypatch):
    """Every state that the stores of a new epoch pass through is an older or the new position."""
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.set_position("sip", Position(1, 900), 7)
        words = writer._mapping.words
        seen = []

        class Watched:
            def __getitem__(self, index):
                return words[index]

            def __setitem__(self, index, value):
                words[index] = value
                seen.append(writer_position())

        def writer_position():
            slot = writer._slots["sip"]
            position = Position(
                words[slot + layout.POSITION_EPOCH], words[slot + layout.POSITION_OFFSET]
            )
            return position, words[slot + layout.POSITION_SEQ] - 1

        writer._mapping.words = Watched()
        writer.set_position("sip", Position(2, 128), 40)
        writer._mapping.words = words
    older = [Position(1, 900), Position(1, 0), Position(2, 0), Position(2, 128)]
    assert set(seen[:-1]) <= {(position, -1) for position in older}
    assert seen[-1] == (Position(2, 128), 40)


def test_the_number_that_comes_next_is_kept_with_the_position_if_it_is_known(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        assert writer.next_seq("sip") == -1
        writer.set_position("sip", Position(1, 900), 7)
    with LastValueWriter(path, BOOT, 8) as writer:
        assert (writer.position("sip"), writer.next_seq("sip")) == (Position(1, 900), 7)
        writer.set_position("sip", Position(1, 950))
        assert writer.next_seq("sip") == -1


def test_a_full_disk_at_the_start_says_so(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(mapfile, "os", SimpleNamespace(**{**vars(os), "write": refuse}))
    with pytest.raises(Full, match="No space left"):
        LastValueWriter(path, BOOT, 8)


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "live").write_text("a file where the folder should be")
    with pytest.raises(WriteFailed, match="last-value file"):
        LastValueWriter(tmp_path / "live" / "last.map", BOOT, 8)


def test_reading_a_journal_twice_changes_nothing(path):
    rng = random.Random(7)
    records = [
        trade(rng.choice("ABC"), rng.randrange(50), seq, price=rng.random()) for seq in range(300)
    ]
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update(records)
        once = last.snapshot()
        writer.update(records)
        assert last.snapshot().equals(once)
