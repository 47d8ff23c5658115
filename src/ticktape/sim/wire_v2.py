"""Rows of a tape -> the JSON of Alpaca's v2 stock stream, as the real server prints it.

`T` comes first and the keys in the order seen on the wire; ids and sizes are never printed as
floats; a frame is always an array.

Source: reference/alpaca.md §2, whose orders of keys were read off real frames.
"""

from collections.abc import Callable
from typing import ClassVar

import msgspec
import numpy as np
import pyarrow as pa

from ticktape.sim.jsontext import (
    Texts,
    code_lists,
    instants,
    integers,
    numbers,
    objects,
    row_numbers,
    strings,
)
from ticktape.sim.states import ERRORS, Subscription
from ticktape.sim.tape import Tape


def _trade(rows: pa.Table) -> Texts:
    return objects(
        '{"T":"t","S":', strings(rows["symbol"]),
        ',"i":', integers(rows["id"]),
        ',"x":', strings(rows["exchange"]),
        ',"p":', numbers(rows["price"]),
        ',"s":', integers(rows["size"]),
        ',"c":', code_lists(rows["conditions"]),
        ',"z":', strings(rows["tape"]),
        ',"t":"', instants(rows["event_ns"]), '"}',
    )  # fmt: skip


def _quote(rows: pa.Table) -> Texts:
    return objects(
        '{"T":"q","S":', strings(rows["symbol"]),
        ',"bx":', strings(rows["bid_exchange"]),
        ',"bp":', numbers(rows["bid_price"]),
        ',"bs":', integers(rows["bid_size"]),
        ',"ax":', strings(rows["ask_exchange"]),
        ',"ap":', numbers(rows["ask_price"]),
        ',"as":', integers(rows["ask_size"]),
        ',"c":', code_lists(rows["conditions"]),
        ',"z":', strings(rows["tape"]),
        ',"t":"', instants(rows["event_ns"]), '"}',
    )  # fmt: skip


_BAR_TYPES = {"minute": '{"T":"b","S":', "updated": '{"T":"u","S":', "day": '{"T":"d","S":'}


def _bar(rows: pa.Table) -> Texts:
    heads = pa.array([_BAR_TYPES[str(span)] for span in rows["span"].to_pylist()], pa.string())
    return objects(
        heads, strings(rows["symbol"]),
        ',"o":', numbers(rows["open"]),
        ',"h":', numbers(rows["high"]),
        ',"l":', numbers(rows["low"]),
        ',"c":', numbers(rows["close"]),
        ',"v":', integers(rows["volume"]),
        ',"t":"', instants(rows["event_ns"]),
        '","n":', integers(rows["trade_count"]),
        ',"vw":', numbers(rows["vwap"]), "}",
    )  # fmt: skip


def _correction(rows: pa.Table) -> Texts:
    return objects(
        '{"T":"c","S":', strings(rows["symbol"]),
        ',"x":', strings(rows["exchange"]),
        ',"oi":', integers(rows["original_id"]),
        ',"op":', numbers(rows["original_price"]),
        ',"os":', integers(rows["original_size"]),
        ',"oc":', code_lists(rows["original_conditions"]),
        ',"ci":', integers(rows["corrected_id"]),
        ',"cp":', numbers(rows["corrected_price"]),
        ',"cs":', integers(rows["corrected_size"]),
        ',"cc":', code_lists(rows["corrected_conditions"]),
        ',"z":', strings(rows["tape"]),
        ',"t":"', instants(rows["event_ns"]), '"}',
    )  # fmt: skip


def _cancel(rows: pa.Table) -> Texts:
    return objects(
        '{"T":"x","S":', strings(rows["symbol"]),
        ',"i":', integers(rows["id"]),
        ',"x":', strings(rows["exchange"]),
        ',"p":', numbers(rows["price"]),
        ',"s":', integers(rows["size"]),
        ',"a":', strings(rows["action"]),
        ',"z":', strings(rows["tape"]),
        ',"t":"', instants(rows["event_ns"]), '"}',
    )  # fmt: skip


MESSAGES: dict[str, Callable[[pa.Table], Texts]] = {
    "trades": _trade,
    "quotes": _quote,
    "bars": _bar,
    "corrections": _correction,
    "cancels": _cancel,
}


def in_order(
    tape: Tape, start: int, stop: int, messages: dict[str, Callable[[pa.Table], Texts]]
) -> Texts:
    """Return the messages of rows `start` to `stop`; rows of a kind without one are empty texts."""
    parts, places = [], []
    for kind, at, rows in tape.rows(start, stop):
        make = messages.get(kind)
        texts = make(rows) if make else pa.repeat("", rows.num_rows)
        if len(at) == stop - start:
            return texts
        parts.append(texts)
        places.append(at)
    if not parts:
        return pa.array([], pa.string())
    back = np.empty(stop - start, np.int64)
    back[np.concatenate(places)] = np.arange(stop - start)
    return pa.concat_arrays(parts).take(row_numbers(back))


class JsonV2:
    """The v2 stock stream in JSON: text frames, each an array of one or more messages."""

    name: ClassVar[str] = "v2"
    joins: ClassVar[bool] = True
    opening: ClassVar[str] = "["
    closing: ClassVar[str] = "]"
    binary: ClassVar[bool] = False

    def elements(self, tape: Tape, start: int, stop: int) -> Texts:
        """Return the message of each row from `start` to `stop`."""
        return in_order(tape, start, stop, MESSAGES)

    def heard(self, tape: Tape, subscription: Subscription) -> "np.typing.NDArray[np.bool_]":
        """Return for each row whether `subscription` hears it."""
        return tape.mask(subscription)

    def control(self, message: object) -> bytes:
        """Return a control message as the payload of its frame."""
        return msgspec.json.encode(message)

    def error(self, code: int) -> object:
        """Return the control message of an error."""
        return [{"T": "error", "code": code, "msg": ERRORS.get(code, "internal error")}]

    def with_field(self, element: bytes, name: str, value: str) -> bytes:
        """Return a message with one field more than the protocol knows."""
        return element[:-1] + b',"%b":"%b"}' % (name.encode(), value.encode())

    def unknown(self, padding: int) -> bytes:
        """Return the payload of a frame with one message of a type that nobody knows."""
        return b'[{"T":"zz","S":"SPY","note":"%b"}]' % (b"x" * padding)

    def malformed(self) -> bytes:
        """Return a payload that is no JSON."""
        return b'[{"T":"t","S":"SPY","i":12'

    def wire_codes(self, table: pa.Table) -> pa.Table:
        """Return the truth's columns as this protocol writes them; here as they are."""
        return table
