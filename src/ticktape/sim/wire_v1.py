"""Rows of a tape -> the JSON of the legacy v1 stream: `{"stream":"T.SPY","data":{...}}`.

One object per frame, never an array; corrections and cancels do not exist here. Codes are numbers.

Source: reference/alpaca.md §5 for the messages. The numbers of exchanges and conditions are those
of Polygon, whose feed v1 relayed; they fit every captured frame (x 2 and 17; c 14, 37, 41), but
Alpaca published no list, so they are our derivation.
"""

from typing import ClassVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.sim import framing
from ticktape.sim.jsontext import (
    Coded,
    Column,
    Still,
    Texts,
    by_value,
    choose,
    flat,
    integers,
    numbers,
    objects,
    split_codes,
    strings,
)
from ticktape.sim.orderbooks import WholeBook
from ticktape.sim.states import ERRORS, Subscription
from ticktape.sim.tape import TAPE_KINDS, Ints, Tape
from ticktape.sim.wire_v2 import in_order

EXCHANGES = {
    "A": 1, "B": 2, "C": 3, "D": 4, "I": 6, "J": 7, "K": 8, "M": 9, "N": 10, "P": 11, "Q": 12,
    "T": 12, "L": 14, "V": 15, "W": 16, "X": 17, "Y": 18, "Z": 19, "H": 20, "U": 21,
}  # fmt: skip
CONDITIONS = {
    "@": 0, " ": 0, "A": 1, "B": 4, "C": 7, "D": 11, "E": 3, "F": 14, "G": 5, "H": 21, "I": 37,
    "K": 23, "L": 30, "M": 15, "N": 20, "O": 25, "P": 22, "Q": 16, "R": 29, "S": 34, "T": 12,
    "U": 13, "V": 52, "W": 2, "X": 9, "Y": 36, "Z": 33, "1": 27, "4": 10, "5": 28, "6": 8, "7": 53,
}  # fmt: skip
QUOTE_CONDITIONS = "1"  # what the captured quotes say of a regular one; they have no tape
TAPES = {"A": 1, "B": 2, "C": 3}
V1_KINDS = frozenset({"trades", "quotes", "bars"})


def exchange_number(letter: str) -> str:
    """Return the number of an exchange as text; 0 for one without."""
    return str(EXCHANGES.get(letter, 0))


def condition_numbers(codes: str | None) -> str:
    """Return conditions as a table keeps them, with v1's numbers; `@,F` becomes `0,14`."""
    return ",".join(str(CONDITIONS.get(code, 0)) for code in split_codes(codes) or [])


def tape_number(letter: str) -> str:
    """Return the number of a tape as text; 0 for one without."""
    return str(TAPES.get(letter, 0))


def _streams(prefix: str, rows: pa.Table) -> Texts:
    symbols = by_value(rows["symbol"], lambda name: msgspec.json.encode(name).decode().strip('"'))
    return objects(f'{{"stream":"{prefix}.', symbols, '","data":')


def _numbers_list(column: Column) -> Coded:
    return by_value(
        column, lambda codes: "null" if codes is None else f"[{condition_numbers(codes)}]"
    )


def _quote(rows: pa.Table) -> Texts:
    return objects(
        _streams("Q", rows),
        '{"ev":"Q","T":', strings(rows["symbol"]),
        ',"x":', by_value(rows["bid_exchange"], exchange_number),
        ',"p":', numbers(rows["bid_price"]),
        ',"s":', integers(rows["bid_size"]),
        ',"X":', by_value(rows["ask_exchange"], exchange_number),
        ',"P":', numbers(rows["ask_price"]),
        ',"S":', integers(rows["ask_size"]),
        f',"c":[{QUOTE_CONDITIONS}],"t":', integers(rows["event_ns"]), "}}",
    )  # fmt: skip


def _bar(rows: pa.Table) -> Texts:
    start_ms = pc.divide(rows["event_ns"], pa.scalar(1_000_000))
    # The day's volume, open and average are the minute's own here: a tape knows no day.
    volume, vwap = integers(rows["volume"]), numbers(rows["vwap"])
    opening = numbers(rows["open"])
    return objects(
        _streams("AM", rows),
        '{"ev":"AM","T":', strings(rows["symbol"]),
        ',"v":', volume, ',"av":', volume,
        ',"op":', opening, ',"vw":', vwap, ',"o":', opening,
        ',"c":', numbers(rows["close"]),
        ',"h":', numbers(rows["high"]),
        ',"l":', numbers(rows["low"]),
        ',"a":', vwap,
        ',"s":', integers(start_ms),
        ',"e":', integers(pc.add(start_ms, pa.scalar(60_000))), "}}",
    )  # fmt: skip


class JsonV1:
    """The v1 stream: one object per frame; `binary` frames and ids as text were both seen."""

    name: ClassVar[str] = "v1"
    joins: ClassVar[bool] = False

    def __init__(self, *, binary: bool = False, text_ids: bool = False) -> None:
        self.opcode = framing.BINARY if binary else framing.TEXT
        self._quote_mark = '"' if text_ids else ""
        self._messages = {"trades": self._trade, "quotes": _quote, "bars": _bar}

    def _trade(self, rows: pa.Table) -> Texts:
        mark = self._quote_mark
        return objects(
            _streams("T", rows),
            '{"ev":"T","T":', strings(rows["symbol"]),
            f',"i":{mark}', integers(rows["id"]),
            f'{mark},"x":', by_value(rows["exchange"], exchange_number),
            ',"p":', numbers(rows["price"]),
            ',"s":', integers(rows["size"]),
            ',"t":', integers(rows["event_ns"]),
            ',"c":', _numbers_list(rows["conditions"]),
            ',"z":', by_value(rows["tape"], tape_number), "}}",
        )  # fmt: skip

    def elements(
        self, tape: Tape, start: int, stop: int, still: dict[str, Still] | None = None
    ) -> Texts:
        """Return the message of each row from `start` to `stop`; empty for what v1 has not."""
        return in_order(tape, start, stop, dict(self._messages))

    def payload(self, messages: list[bytes]) -> bytes:
        """Return the payload of the frame that carries this one message."""
        (message,) = messages
        return message

    def payloads(self, elements: Texts, ends: Ints) -> Texts:
        """Return the payload of each frame; `ends` must leave one message to each."""
        return elements

    def book(self, book: WholeBook) -> bytes:
        """Return nothing: v1 has no order books, and no channel for them."""
        raise AssertionError("v1 has no order books")

    def text(self, payload: bytes) -> str:
        """Return a payload as text."""
        return payload.decode(errors="replace")

    def heard(self, tape: Tape, subscription: Subscription) -> "np.typing.NDArray[np.bool_]":
        """Return for each row whether `subscription` hears it."""
        known = np.array([kind in V1_KINDS for kind in TAPE_KINDS])
        heard: np.typing.NDArray[np.bool_] = tape.mask(subscription) & known[tape.kind_codes]
        return heard

    def control(self, message: object) -> bytes:
        """Return a control message as the payload of its frame."""
        return msgspec.json.encode(message)

    def error(self, code: int) -> object:
        """Return the control message of an error; v1 has no codes."""
        return {"stream": "listening", "data": {"error": ERRORS.get(code, "internal error")}}

    def with_field(self, element: bytes, name: str, value: str) -> bytes:
        """Return a message with one field more than the protocol knows."""
        return element[:-2] + b',"%b":"%b"}}' % (name.encode(), value.encode())

    def unknown(self, padding: int) -> bytes:
        """Return a message of a type that nobody knows."""
        return b'{"stream":"ZZ.SPY","data":{"ev":"ZZ","T":"SPY","note":"%b"}}' % (b"x" * padding)

    def malformed(self) -> bytes:
        """Return a payload that is no JSON."""
        return b'{"stream":"T.SPY","data":{"ev":"T","T":"SPY","i":12'

    def wire_codes(self, table: pa.Table) -> pa.Table:
        """Return the truth's columns as v1 writes them: numbers of exchange, conditions, tape."""
        quotes = pc.equal(flat(table["kind"]), pa.scalar("quotes"))
        for name, text, of_quote in (
            ("exchange", exchange_number, None),
            ("conditions", condition_numbers, QUOTE_CONDITIONS),
            ("tape", tape_number, ""),
        ):
            column = flat(table[name])
            filled = by_value(column.fill_null(""), text).array()
            kept = choose(pc.is_null(column), pa.scalar(None, pa.string()), filled)
            if of_quote is not None:
                kept = choose(quotes, of_quote, kept)
            place = table.column_names.index(name)
            table = table.set_column(place, table.field(name), kept)
        return table
