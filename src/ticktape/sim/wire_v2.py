"""Rows of a tape -> the messages of the v2 streams, in JSON and in MessagePack, as the server's.

Both have the same keys in the same order, ids and sizes are never floats where the venue's are
none; a frame is always an array.

Source: reference/alpaca.md §1.4 for the encodings, and `layouts` for the messages.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

import msgspec
import numpy as np
import pyarrow as pa

from ticktape.records import CryptoBook
from ticktape.sim import framing, jsontext, packed
from ticktape.sim.families import CRYPTO
from ticktape.sim.jsontext import Still, Texts, choose, flat, objects, row_numbers
from ticktape.sim.layouts import LAYOUTS, Layout
from ticktape.sim.orderbooks import WholeBook
from ticktape.sim.packed import Pieces
from ticktape.sim.states import ERRORS, Subscription
from ticktape.sim.tape import COLUMNS, Ints, Tape


def in_order(
    tape: Tape, start: int, stop: int, messages: Mapping[str, Callable[[pa.Table], Texts]]
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


class _WireV2(ABC):
    joins: ClassVar[bool] = True

    def elements(
        self, tape: Tape, start: int, stop: int, still: dict[str, Still] | None = None
    ) -> Texts:
        """Return the message of each row from `start` to `stop`.

        `still` has by kind what is the same in other passes of the tape, and is filled.
        """
        makers = {
            kind: partial(
                self.messages, layout, still=None if still is None else still.setdefault(kind, [])
            )
            for kind, layout in LAYOUTS[tape.family].items()
        }
        return in_order(tape, start, stop, makers)

    @abstractmethod
    def messages(self, layout: Layout, rows: pa.Table, still: Still | None = None) -> Texts:
        """Return the message of each row of one kind."""

    @abstractmethod
    def payload(self, messages: list[bytes]) -> bytes:
        """Return the payload of the frame that carries these messages."""

    def heard(self, tape: Tape, subscription: Subscription) -> "np.typing.NDArray[np.bool_]":
        """Return for each row whether `subscription` hears it."""
        return tape.mask(subscription)

    def book(self, book: WholeBook) -> bytes:
        """Return the payload of a frame with a whole order book."""
        (message,) = self.messages(LAYOUTS[CRYPTO][CryptoBook.kind], book_row(book)).to_pylist()
        return self.payload([message if isinstance(message, bytes) else str(message).encode()])

    def error(self, code: int) -> object:
        """Return the control message of an error."""
        return [{"T": "error", "code": code, "msg": ERRORS.get(code, "internal error")}]

    def wire_codes(self, table: pa.Table) -> pa.Table:
        """Return the truth's columns as this protocol writes them; here as they are."""
        return table


def book_row(book: WholeBook) -> pa.Table:
    """Return a whole book as the row of a tape."""
    row: dict[str, object] = {"symbol": book.symbol, "event_ns": book.event_ns, "reset": True}
    for name, side in (("bid", book.bids), ("ask", book.asks)):
        row[f"{name}_prices"] = [price for price, _ in side]
        row[f"{name}_sizes"] = [size for _, size in side]
    return pa.Table.from_pylist([row], schema=COLUMNS[CryptoBook.kind])


class JsonV2(_WireV2):
    """The v2 streams in JSON: text frames, each an array of one or more messages."""

    name: ClassVar[str] = "v2"
    opcode: ClassVar[int] = framing.TEXT

    def messages(self, layout: Layout, rows: pa.Table, still: Still | None = None) -> Texts:
        """Return the message of each row of one kind."""
        return jsontext.messages(layout, rows, still)

    def payload(self, messages: list[bytes]) -> bytes:
        """Return the payload of the frame that carries these messages."""
        return b"[" + b",".join(messages) + b"]"

    def payloads(self, elements: Texts, ends: Ints) -> Texts:
        """Return the payload with the messages between each two `ends`, empty without any."""
        counts = np.diff(ends)
        if len(counts) == len(elements) and counts.all():
            return objects("[", elements, "]")
        full = objects("[", jsontext.grouped(elements, ends), "]")
        return flat(choose(pa.array(counts == 0), "", full))

    def control(self, message: object) -> bytes:
        """Return a control message as the payload of its frame."""
        return msgspec.json.encode(message)

    def text(self, payload: bytes) -> str:
        """Return a payload as text."""
        return payload.decode(errors="replace")

    def with_field(self, element: bytes, name: str, value: str) -> bytes:
        """Return a message with one field more than the protocol knows."""
        return element[:-1] + b',"%b":"%b"}' % (name.encode(), value.encode())

    def unknown(self, padding: int) -> bytes:
        """Return the payload of a frame with one message of a type that nobody knows."""
        return b'[{"T":"zz","S":"SPY","note":"%b"}]' % (b"x" * padding)

    def malformed(self) -> bytes:
        """Return a payload that is no JSON."""
        return b'[{"T":"t","S":"SPY","i":12'


class PackedV2(_WireV2):
    """The v2 streams in MessagePack: binary frames, each an array of one or more messages."""

    name: ClassVar[str] = "v2 packed"
    opcode: ClassVar[int] = framing.BINARY

    def messages(self, layout: Layout, rows: pa.Table, still: Still | None = None) -> Pieces:
        """Return the message of each row of one kind."""
        return packed.messages(layout, rows)

    def payload(self, messages: list[bytes]) -> bytes:
        """Return the payload of the frame that carries these messages."""
        return packed.array_head(len(messages)) + b"".join(messages)

    def payloads(self, elements: Pieces, ends: Ints) -> Pieces:
        """Return the payload with the messages between each two `ends`, empty without any."""
        nothing = pa.scalar(b"", pa.binary())
        return flat(choose(pa.array(np.diff(ends) == 0), nothing, packed.arrays(elements, ends)))

    def control(self, message: object) -> bytes:
        """Return a control message as the payload of its frame."""
        return msgspec.msgpack.encode(message)

    def text(self, payload: bytes) -> str:
        """Return a payload as JSON; one that cannot be read as the text nearest to its bytes."""
        try:
            return msgspec.json.encode(msgspec.msgpack.decode(payload)).decode()
        except ValueError:  # msgspec's own errors are such, and those of texts that are no UTF-8
            return payload.decode(errors="replace")

    def with_field(self, element: bytes, name: str, value: str) -> bytes:
        """Return a message with one field more than the protocol knows."""
        return packed.with_field(element, name, value)

    def unknown(self, padding: int) -> bytes:
        """Return the payload of a frame with one message of a type that nobody knows."""
        return msgspec.msgpack.encode([{"T": "zz", "S": "SPY", "note": "x" * padding}])

    def malformed(self) -> bytes:
        """Return a payload that ends too early."""
        return self.unknown(0)[:-1]
