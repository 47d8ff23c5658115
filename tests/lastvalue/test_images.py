"""Whole images in a file of their own: of one moment with their tops, made late, taken over."""

import errno
import os
from types import SimpleNamespace

import pytest

from ticktape.lastvalue import LastValues, LastValueWriter, books, images, layout, mapfile
from ticktape.lastvalue.reader import LOOK_NS
from ticktape.records import Book, Position, Tick, Trade

BOOT = bytes(range(16))
OTHER_BOOT = bytes(16)


def book(event_ns=1, *, symbol="RIZ6", feed="rts", levels=2, **more):
    return Book(
        feed=feed,
        symbol=symbol,
        event_ns=event_ns,
        recv_ns=event_ns + 5,
        epoch=1,
        seq=event_ns & 0xFFFF_FFFF,
        index=0,
        **{
            "before_ns": event_ns - 1,
            "after_ns": event_ns,
            "previous_ns": event_ns - 2,
            "poll": 3,
            "unchanged": 1,
            "flags": 4,
            "ask_prices": tuple(event_ns + 0.5 + number for number in range(levels)),
            "ask_volumes": tuple(float(number + 1) for number in range(levels)),
            "bid_prices": tuple(event_ns - 0.5 - number for number in range(levels)),
            "bid_volumes": tuple(float(number + 10) for number in range(levels)),
            **more,
        },
    )


def trade(event_ns=1, symbol="RIZ6", feed="rts"):
    return Trade(
        feed=feed,
        symbol=symbol,
        event_ns=event_ns,
        recv_ns=event_ns,
        epoch=1,
        seq=event_ns,
        index=0,
        price=1.0,
        size=1.0,
    )


def tick(event_ns=1):
    return Tick(
        feed="rts",
        symbol="RIZ6",
        event_ns=event_ns,
        recv_ns=event_ns + 5,
        epoch=1,
        seq=event_ns,
        index=2,
        time_msc=1_700_000_000_000,
        offset_ms=10_800_000,
        bid=1.0,
        ask=2.0,
        last=1.5,
        volume=3,
        volume_real=3.25,
        flags=0x406,
        before_ns=event_ns,
        after_ns=event_ns + 1,
    )


class FakeClock:
    def __init__(self):
        self.now_ns = 0

    def __call__(self):
        return self.now_ns


@pytest.fixture
def path(tmp_path):
    return tmp_path / "live" / "last.map"


@pytest.fixture
def images_file(path):
    return layout.images_path(path)


def leave_half_an_image(writer, given):
    """What a writer leaves that is killed in the middle of storing `given`."""
    mapping = writer._images._mapping
    owner = layout.owner_of(given.feed.encode(), given.symbol.encode(), layout.CellKind.BOOK)
    slot = writer._images.slot(owner)
    payload = books.encode_image(
        given, books.encode_top(given, given.feed.encode(), given.symbol.encode(), slot)
    )
    mapping.store_cell(slot, payload)
    start = layout.IMAGES.cell_word(slot) * 8
    mapping.view[start + 300 : start + 308] = b"\xff" * 8
    mapping.words[layout.IMAGES.cell_word(slot)] |= 1


def test_a_book_and_a_tick_come_back_as_they_were_given(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(7), tick(8)])
        value = last["RIZ6"]
        assert value.book == book(7)
        assert value.tick == tick(8)
        assert (value.top.bid_price, value.top.bid_volume, value.top.bid_levels) == (6.5, 10.0, 2)
        assert (value.top.ask_price, value.top.ask_volume, value.top.ask_levels) == (7.5, 1.0, 2)
        assert (value.top.flags, value.top.event_ns) == (4, 7)
        assert (value.age_ns(10, "book"), value.age_ns(10, "tick"), value.age_ns(10)) == (3, 2, 2)
        assert (value.torn, value.cut) == ((), ())
        assert "bid_price=6.5" in repr(value)


def test_without_books_there_is_no_second_file_and_no_image(path, images_file):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([trade(), tick()])
        value = last["RIZ6"]
        assert (value.book, value.top) == (None, None)
        assert value.age_ns(10, "book") is None
    assert not images_file.exists()


def test_the_second_file_has_a_block_behind_every_byte(path, images_file):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([book()])
        status = images_file.stat()
    assert status.st_size == layout.IMAGES.file_bytes(layout.IMAGE_CAPACITY)
    assert status.st_blocks * 512 >= status.st_size


def test_of_many_images_read_at_once_only_the_last_is_written(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(1)])
        mapping = writer._images._mapping
        before = mapping.words[layout.IMAGES.cell_word(0)]
        writer.update(book(event_ns) for event_ns in range(2, 102))
        assert mapping.words[layout.IMAGES.cell_word(0)] == before + 2, "one write"
        assert last["RIZ6"].book == book(101)
        statistics = writer.statistics()
    assert (statistics.written, statistics.conflated, statistics.top_only) == (2, 99, 0)


def test_an_older_image_never_replaces_in_either_place(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(10)])
        writer.update([book(9, levels=4)])
        assert last["RIZ6"].book == book(10)
        assert last["RIZ6"].top.event_ns == 10
        assert writer.statistics().late == 1


def test_a_smaller_image_leaves_nothing_of_the_larger_one(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(1, levels=200)])
        writer.update([book(2, levels=0, flags=1)])
        value = last["RIZ6"]
        assert value.book == book(2, levels=0, flags=1)
        assert (value.top.bid_price, value.top.ask_volume, value.top.bid_levels) == (None, None, 0)


def test_two_legs_are_two_feeds_and_the_newest_of_them_is_the_symbols(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(5, feed="rts"), book(6, feed="rts.b", levels=3)])
        assert last["rts", "RIZ6"].book == book(5)
        assert last["rts.b", "RIZ6"].book == book(6, feed="rts.b", levels=3)
        value = last["RIZ6"]
        assert value.book.feed == value.top.feed == "rts.b"
        writer.update([book(7, feed="rts")])
        assert last["RIZ6"].book == book(7)


def test_a_cut_image_says_so_and_keeps_the_best(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(1, levels=300)])
        value = last["RIZ6"]
        assert value.cut == ("book",)
        assert value.book.ask_prices == book(1, levels=256).ask_prices
        assert (value.top.ask_levels, value.top.bid_levels) == (300, 300)
        assert writer.statistics().cut == 1


def test_past_the_last_slot_a_book_has_its_top_and_is_counted(path, monkeypatch):
    monkeypatch.setattr(images, "IMAGE_CAPACITY", 2)
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update(book(1, symbol=symbol) for symbol in "ABC")
        writer.update([book(2, symbol="A")])
        assert last["A"].book == book(2, symbol="A")
        assert last["C"].book is None
        assert last["C"].top.bid_price == 0.5
        assert last["C"].torn == ()
        assert writer.statistics().top_only == 1


def test_a_full_disk_costs_the_images_and_nothing_else(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        with monkeypatch.context() as full:
            full.setattr(mapfile, "os", SimpleNamespace(**{**vars(os), "write": refuse}))
            writer.update([book(1), trade(2)])
        assert last["RIZ6"].trade == trade(2)
        assert last["RIZ6"].top.event_ns == 1
        assert last["RIZ6"].book is None
        assert writer.statistics().top_only == 1
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(3)])
        assert last["RIZ6"].book == book(3), "the next writer tries again"


@pytest.mark.parametrize("symbol", ["RIZ6", "new"])
def test_an_unfit_image_changes_neither_place(path, symbol):
    unfit = book(9, symbol=symbol, types=(1 << 40, 1, 2, 2))
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(1)])
        writer.update([unfit])
        assert last["RIZ6"].book == book(1)
        assert writer.statistics().unfit == 1
        writer.update([book(2, symbol=symbol), book(2, symbol="other")])
        assert last[symbol].book == book(2, symbol=symbol)
        assert last["other"].book == book(2, symbol="other")


def test_a_value_is_of_one_moment_when_the_writer_stands_between_the_two_places(path):
    """The image is in its slot, the cell still has the top before it."""
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(1)])
        cell = writer._mapping.load_cell(0)
        writer.update([book(2)])
        writer._mapping.store_cell(0, cell)
        value = last["RIZ6"]
        assert value.book == book(2)
        assert (value.top.event_ns, value.top.bid_price) == (2, 1.5)
        assert value.age_ns(10) == 8


def test_a_value_does_not_change_once_taken(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(1)])
        value = last["RIZ6"]
        writer.update([book(2)])
        assert value.book == book(1)
        assert value.top.event_ns == 1
        assert value.book is value.book


def test_a_torn_image_is_named_and_its_top_is_still_there(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([book(1), trade(1)])
        leave_half_an_image(writer, book(2, levels=9))
        with LastValues(path) as last:
            value = last["RIZ6"]
            assert value.torn == ("book",)
            assert value.book is None
            assert value.top.event_ns == 1
            assert value.trade == trade(1)
            assert last.torn_reads == 1


def test_the_next_writer_empties_a_torn_slot_and_fills_it_again(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([book(1), book(1, symbol="other")])
        leave_half_an_image(writer, book(2, levels=9))
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        value = last["RIZ6"]
        assert (value.torn, value.book, value.top.event_ns) == ((), None, 1)
        assert last["other"].book == book(1, symbol="other")
        writer.update([book(2, levels=9)])
        assert last["RIZ6"].book == book(2, levels=9)


def test_a_whole_slot_left_odd_is_whole_again_with_the_next_writer(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([book(1)])
        writer._images._mapping.words[layout.IMAGES.cell_word(0)] |= 1
    with LastValueWriter(path, BOOT, 8), LastValues(path) as last:
        assert last["RIZ6"].book == book(1)


def test_a_writer_of_the_same_boot_goes_on_in_the_same_slots(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([book(1), book(1, symbol="other")])
        writer.set_position("rts", Position(1, 64))
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        assert writer.position("rts") == Position(1, 64)
        writer.update([book(1), book(2, symbol="third"), book(2, symbol="other")])
        assert writer.statistics().late == 1
        assert last["RIZ6"].book == book(1)
        assert last["other"].book == book(2, symbol="other")
        assert last["third"].book == book(2, symbol="third")
        assert writer._images._mapping.words[layout.WORD_COUNT] == 3


@pytest.mark.parametrize("at", [0, layout.WORD_CELL_BYTES * 8, layout.HEAD_BYTES + 300])
def test_images_in_doubt_are_made_anew_and_never_anothers(path, images_file, at):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([book(1, symbol="A"), book(1, symbol="B"), trade()])
    content = bytearray(images_file.read_bytes())
    content[at] ^= 1
    images_file.write_bytes(content)
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(2, symbol="B")])
        assert last["B"].book == book(2, symbol="B")
        assert (last["A"].book, last["A"].torn) == (None, ())
        assert last["A"].top.event_ns == 1
        assert last["RIZ6"].trade == trade()
        writer.update([book(3, symbol="A")])
        assert last["A"].book == book(3, symbol="A")


def test_images_of_another_boot_are_never_shown(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([book(9, symbol="A"), book(9, symbol="B")])
    with LastValueWriter(path, OTHER_BOOT, 8) as writer, LastValues(path) as last:
        assert list(last) == []
        writer.update([book(1, symbol="B")])
        assert last["B"].book == book(1, symbol="B")


def test_cells_made_anew_go_on_with_the_images_that_are_there(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([book(9, symbol="A"), book(9, symbol="B")])
    with LastValueWriter(path, BOOT, 16) as writer, LastValues(path) as last:
        assert list(last) == []
        writer.update([book(1, symbol="B")])
        assert last["B"].book == book(1, symbol="B")


def test_a_reader_follows_images_that_were_deleted_and_made_again(path, images_file):
    clock = FakeClock()
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([book(1)])
    with LastValues(path, monotonic_ns=clock) as last:
        assert last["RIZ6"].book == book(1)
        images_file.rename(images_file.with_suffix(".old"))
        clock.now_ns += LOOK_NS + 1
        assert last["RIZ6"].book is None
        with LastValueWriter(path, BOOT, 8) as writer:
            writer.update([book(2)])
            clock.now_ns += LOOK_NS + 1
            assert last["RIZ6"].book == book(2)


def test_a_reader_closed_and_used_again_has_the_images_again(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(1)])
        assert last["RIZ6"].book == book(1)
        last.close()
        last.close()
        assert last["RIZ6"].book == book(1)


def test_the_snapshot_has_the_tops_and_the_ticks(path):
    one_sided = book(4, symbol="thin", bid_prices=(), bid_volumes=(), previous_ns=None)
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([book(7), tick(8), one_sided])
        rows = {row["symbol"]: row for row in last.snapshot().to_pylist()}
        tops = {symbol: last[symbol].top for symbol in rows}
        array = last.array("book")
    for symbol, row in rows.items():
        for field in tops[symbol].__struct_fields__:
            if field not in ("feed", "symbol"):
                assert row[f"book_{field}"] == getattr(tops[symbol], field), field
    for field in tick().__struct_fields__:
        if field not in ("feed", "symbol"):
            assert rows["RIZ6"][f"tick_{field}"] == getattr(tick(8), field), field
    assert rows["thin"]["book_bid_price"] is None
    assert rows["thin"]["tick_bid"] is None
    assert rows["RIZ6"]["bid_price"] is None, "no quote came"
    assert array["ask_price"].tolist() == [7.5, 4.5]
