"""The same file in several processes: no torn read, and a killed writer is taken over."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ticktape
from ticktape.lastvalue import LastValues, LastValueWriter
from ticktape.records import Book, Position, Trade

BOOT = bytes(range(16))
SYMBOLS = ("A", "B")
SOURCE = str(Path(ticktape.__file__).parent.parent)
# A read gives up when its writer stands still in a cell, as on a machine that runs others: after
# some ten milliseconds. Without patience it would take microseconds.
GIVES_UP_AFTER_NS = 5_000_000

# Every field of a written trade follows from its seq, so that a mixture of two would show.
WRITING = """
import sys
from ticktape.lastvalue import LastValueWriter
from ticktape.records import Position, Trade

path, rounds = sys.argv[1], int(sys.argv[2])
from pathlib import Path
with LastValueWriter(Path(path), bytes(range(16)), 8) as writer:
    start = writer.position("sip")
    seq = 1 if start is None else start.offset
    print("ready", seq, flush=True)
    end = seq + rounds
    while seq < end:
        for symbol in ("A", "B"):
            writer.update([Trade(
                feed="sip", symbol=symbol, event_ns=seq, recv_ns=3 * seq, epoch=1, seq=seq,
                index=seq & 0xFFFF, price=float(seq), size=2.0 * seq, id=5 * seq,
                exchange=str(seq), conditions=f"{seq},{seq}", tape=str(seq % 100),
            )])
        seq += 1
        writer.set_position("sip", Position(1, seq))
        if seq % 512 == 0 and sys.stdin in __import__("select").select([sys.stdin], [], [], 0)[0]:
            break
"""


# Every number of a written book follows from its seq, and so does the count of its rows.
WRITING_BOOKS = """
import sys
from pathlib import Path
from ticktape.lastvalue import LastValueWriter
from ticktape.records import Book, Position

path, rounds = sys.argv[1], int(sys.argv[2])
with LastValueWriter(Path(path), bytes(range(16)), 8) as writer:
    start = writer.position("rts")
    seq = 1 if start is None else start.offset
    print("ready", seq, flush=True)
    end = seq + rounds
    while seq < end:
        levels = seq % 40
        for symbol in ("A", "B"):
            writer.update([Book(
                feed="rts", symbol=symbol, event_ns=seq, recv_ns=3 * seq, epoch=1, seq=seq,
                index=seq & 0xFFFF, before_ns=2 * seq, after_ns=4 * seq, previous_ns=5 * seq,
                poll=6 * seq, unchanged=7 * seq, flags=seq & 0xFFFF,
                ask_prices=(float(seq),) * levels, ask_volumes=(2.0 * seq,) * levels,
                bid_prices=(3.0 * seq,) * levels, bid_volumes=(4.0 * seq,) * levels,
            )])
        seq += 1
        writer.set_position("rts", Position(1, seq))
        if seq % 512 == 0 and sys.stdin in __import__("select").select([sys.stdin], [], [], 0)[0]:
            break
"""


# Put together from changes: after number seq of them, every level's size follows from seq.
WRITING_ORDER_BOOKS = """
import sys
from pathlib import Path
from ticktape.lastvalue import LastValueWriter
from ticktape.records import CryptoBook, Gap, Position

path, rounds = sys.argv[1], int(sys.argv[2])
with LastValueWriter(Path(path), bytes(range(16)), 8) as writer:
    start = writer.position("crypto")
    seq = 1 if start is None else start.offset
    print("ready", seq, flush=True)
    end = seq + rounds
    while seq < end:
        places = {"feed": "crypto", "event_ns": seq, "recv_ns": 3 * seq, "epoch": 1, "seq": seq}
        levels = seq % 40
        if seq % 100 == 99:
            writer.update([Gap(symbol="", index=0, from_ns=seq, to_ns=None, cause="", **places)])
        else:
            writer.update(CryptoBook(
                symbol=symbol, index=index, reset=seq % 100 in (0, 50) or seq == 1, **places,
                bid_prices=tuple(float(price) for price in range(40)),
                bid_sizes=(float(seq),) * levels + (0.0,) * (40 - levels),
                ask_prices=tuple(100.0 + price for price in range(40)),
                ask_sizes=(2.0 * seq,) * levels + (0.0,) * (40 - levels),
            ) for index, symbol in enumerate(("A", "B")))
        seq += 1
        writer.set_position("crypto", Position(1, seq))
        if seq % 512 == 0 and sys.stdin in __import__("select").select([sys.stdin], [], [], 0)[0]:
            break
"""


def start_writing(path, rounds, failpoint="", *, program=WRITING):
    environment = {**os.environ, "PYTHONPATH": SOURCE, "TICKTAPE_FAILPOINT": failpoint}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path), str(rounds)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith("ready")
    return process


def is_of_one_write(trade):
    seq = trade.seq
    return (
        trade.event_ns == seq
        and trade.recv_ns == 3 * seq
        and trade.index == seq & 0xFFFF
        and trade.price == seq
        and trade.size == 2 * seq
        and trade.id == 5 * seq
        and trade.exchange == str(seq)
        and trade.conditions == f"{seq},{seq}"
        and trade.tape == str(seq % 100)
    )


def a_book(symbol, seq):
    levels = seq % 40
    return Book(
        feed="rts",
        symbol=symbol,
        event_ns=seq,
        recv_ns=3 * seq,
        epoch=1,
        seq=seq,
        index=seq & 0xFFFF,
        before_ns=2 * seq,
        after_ns=4 * seq,
        previous_ns=5 * seq,
        poll=6 * seq,
        unchanged=7 * seq,
        flags=seq & 0xFFFF,
        ask_prices=(float(seq),) * levels,
        ask_volumes=(2.0 * seq,) * levels,
        bid_prices=(3.0 * seq,) * levels,
        bid_volumes=(4.0 * seq,) * levels,
    )


def test_no_read_is_torn_and_none_goes_back_while_another_process_writes(tmp_path):
    path = tmp_path / "last.map"
    process = start_writing(path, 100_000_000)
    distinct = set()
    newest = dict.fromkeys(SYMBOLS, 0)
    try:
        with LastValues(path) as last:
            number = 0
            while number < 200_000 or len(distinct) < 1000:
                number += 1
                symbol = SYMBOLS[number & 1]
                begun_ns = time.perf_counter_ns()
                value = last.get("sip", symbol)
                if value is None or value.torn:
                    assert process.poll() is None
                    waited_ns = time.perf_counter_ns() - begun_ns
                    assert value is None or waited_ns > GIVES_UP_AFTER_NS
                    continue
                trade = value.trade
                assert is_of_one_write(trade), trade
                assert trade.seq >= newest[symbol]
                newest[symbol] = trade.seq
                distinct.add(trade.seq)
    finally:
        process.communicate("stop\n", timeout=240)
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("pass_number", [1, 2, 3, 4, 1000])
def test_a_writer_killed_in_the_middle_of_a_cell_is_taken_over(tmp_path, pass_number):
    path = tmp_path / "last.map"
    process = start_writing(path, 10_000, f"lastvalue.cell:{pass_number}")
    process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL
    # Pass n is symbol (n - 1) % 2 of round (n - 1) // 2.
    dead_symbol, whole_symbol = SYMBOLS[(pass_number - 1) % 2], SYMBOLS[pass_number % 2]
    dead_round = (pass_number - 1) // 2 + 1

    with LastValues(path) as last:
        if pass_number > 2:
            assert last[dead_symbol].torn == ("trade",)
        else:
            assert dead_symbol not in last
        if pass_number > 1:
            assert is_of_one_write(last[whole_symbol].trade)

        with LastValueWriter(path, BOOT, 8) as writer:
            position = writer.position("sip")
            assert position == (Position(1, dead_round) if dead_round > 1 else None)
            if pass_number > 2:
                assert last[dead_symbol].torn == ()
                assert last[dead_symbol].trade is None
            writer.update(
                Trade(
                    feed="sip",
                    symbol=symbol,
                    event_ns=dead_round,
                    recv_ns=3 * dead_round,
                    epoch=1,
                    seq=dead_round,
                    index=dead_round & 0xFFFF,
                    price=dead_round,
                    size=2 * dead_round,
                    id=5 * dead_round,
                    exchange=str(dead_round),
                    conditions=f"{dead_round},{dead_round}",
                    tape=str(dead_round % 100),
                )
                for symbol in SYMBOLS
            )
            for symbol in SYMBOLS:
                assert last[symbol].trade.seq == dead_round
                assert is_of_one_write(last[symbol].trade)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_writer_killed_anywhere_leaves_values_that_the_next_one_carries_on(tmp_path):
    path = tmp_path / "last.map"
    for _ in range(3):
        process = start_writing(path, 100_000_000)
        with LastValues(path) as last:
            begun = last["A"].trade.seq if "A" in last and last["A"].trade else 0
            while "A" not in last or not last["A"].trade or last["A"].trade.seq < begun + 500:
                assert process.poll() is None
            process.kill()
            process.wait(timeout=240)
            process.stdin.close()
            process.stdout.close()
        with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
            position = writer.position("sip")
            assert position is not None
            for symbol in SYMBOLS:
                value = last[symbol]
                assert value.torn == ()
                if value.trade is not None:
                    assert is_of_one_write(value.trade)
                    assert value.trade.seq in (position.offset - 1, position.offset)


def test_no_image_is_torn_and_each_has_its_own_top_while_another_process_writes(tmp_path):
    path = tmp_path / "last.map"
    process = start_writing(path, 100_000_000, program=WRITING_BOOKS)
    distinct = set()
    newest = dict.fromkeys(SYMBOLS, 0)
    try:
        with LastValues(path) as last:
            number = 0
            while number < 20_000 or len(distinct) < 1000:
                number += 1
                symbol = SYMBOLS[number & 1]
                begun_ns = time.perf_counter_ns()
                value = last.get("rts", symbol)
                if value is None or value.torn:
                    assert process.poll() is None
                    waited_ns = time.perf_counter_ns() - begun_ns
                    assert value is None or waited_ns > GIVES_UP_AFTER_NS
                    continue
                book, top = value.book, value.top
                assert book == a_book(symbol, book.seq)
                assert (top.seq, top.after_ns) == (book.seq, book.after_ns)
                assert top.bid_levels == len(book.bid_prices)
                assert book.seq >= newest[symbol]
                newest[symbol] = book.seq
                distinct.add(book.seq)
    finally:
        process.communicate("stop\n", timeout=240)
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("place", ["lastvalue.image", "lastvalue.cell"])
@pytest.mark.parametrize("pass_number", [1, 2, 3, 4, 1000])
def test_a_writer_killed_in_the_middle_of_a_book_is_taken_over(tmp_path, place, pass_number):
    """Half of its image in the slot, or the whole image and half of the cell."""
    path = tmp_path / "last.map"
    process = start_writing(path, 10_000, f"{place}:{pass_number}", program=WRITING_BOOKS)
    process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL
    dead_symbol, whole_symbol = SYMBOLS[(pass_number - 1) % 2], SYMBOLS[pass_number % 2]
    dead_round = (pass_number - 1) // 2 + 1

    with LastValues(path) as last:
        if pass_number > 2:
            assert last[dead_symbol].torn == ("book",)
            assert last[dead_symbol].book is None
        else:
            assert dead_symbol not in last
        if pass_number > 1:
            book = last[whole_symbol].book
            assert book == a_book(whole_symbol, book.seq)

        with LastValueWriter(path, BOOT, 8) as writer:
            position = writer.position("rts")
            assert position == (Position(1, dead_round) if dead_round > 1 else None)
            if pass_number > 2:
                value = last[dead_symbol]
                assert (value.torn, value.book) == ((), None)
            writer.update(a_book(symbol, dead_round) for symbol in SYMBOLS)
            for symbol in SYMBOLS:
                assert last[symbol].book == a_book(symbol, dead_round)
                assert last[symbol].top.seq == dead_round


def is_order_book_of_one_moment(book):
    if not book.is_valid:
        return (book.bids(), book.asks(), book.invalid_since_ns) == ((), (), book.seq)
    seq, levels = book.seq, book.seq % 40
    return (
        seq % 100 != 99
        and (book.event_ns, book.recv_ns) == (seq, 3 * seq)
        and book.bids() == tuple((float(price), float(seq)) for price in reversed(range(levels)))
        and book.asks() == tuple((100.0 + price, 2.0 * seq) for price in range(levels))
        and (book.bid_levels, book.ask_levels) == (levels, levels)
    )


def test_no_order_book_is_torn_or_mixed_while_another_process_writes(tmp_path):
    path = tmp_path / "last.map"
    process = start_writing(path, 100_000_000, program=WRITING_ORDER_BOOKS)
    distinct, lost = set(), 0
    newest = dict.fromkeys(SYMBOLS, 0)
    try:
        with LastValues(path) as last:
            number = 0
            while number < 10_000 or len(distinct) < 1000 or not lost:
                number += 1
                symbol = SYMBOLS[number & 1]
                begun_ns = time.perf_counter_ns()
                value = last.get("crypto", symbol)
                if value is None or value.torn:
                    assert process.poll() is None
                    waited_ns = time.perf_counter_ns() - begun_ns
                    assert value is None or waited_ns > GIVES_UP_AFTER_NS
                    continue
                book = value.order_book
                assert is_order_book_of_one_moment(book), book
                assert book.seq >= newest[symbol]
                newest[symbol] = book.seq
                lost += not book.is_valid
                distinct.add(book.seq)
    finally:
        process.communicate("stop\n", timeout=240)
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("place", ["lastvalue.image", "lastvalue.cell"])
@pytest.mark.parametrize("pass_number", [1, 2, 3, 4, 195, 199, 200, 800])
def test_a_writer_killed_in_the_middle_of_an_order_book_leaves_no_wrong_one(
    tmp_path, place, pass_number
):
    path = tmp_path / "last.map"
    process = start_writing(path, 10_000, f"{place}:{pass_number}", program=WRITING_ORDER_BOOKS)
    process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL
    with LastValues(path) as last:
        for _, symbol in last:
            value = last[symbol]
            book = value.order_book
            assert is_order_book_of_one_moment(book) if book else value.torn == ("order_book",)
    # The next one reads again what the killed one had in hand, and goes on for a while.
    process = start_writing(path, 320, program=WRITING_ORDER_BOOKS)
    process.communicate(timeout=240)
    assert process.returncode == 0
    with LastValues(path) as last:
        for symbol in SYMBOLS:
            assert is_order_book_of_one_moment(last[symbol].order_book)
            assert last[symbol].order_book.is_valid
