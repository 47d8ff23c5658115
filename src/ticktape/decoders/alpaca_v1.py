"""Alpaca's legacy v1 stream: one JSON object per frame, its type in `ev` of `data`.

The venue retired it in 2021; recordings of it and the simulator live on. Frames come as text or
binary, ids as numbers or texts, exchanges, tapes and conditions as numbers, which become their
decimal text. An id that is not the canonical text of an int64 (leading zeros were seen) becomes
null and never a different number.

Source: alpacahq/user-docs (streaming, v1); captured frames of 2020 in the tests.
"""

from typing import Annotated, Any, cast

import msgspec
import pyarrow as pa

from ticktape.decoders.columns import floats, ints, texts
from ticktape.decoders.conditions import Conditions
from ticktape.decoders.frames import unreadable
from ticktape.decoders.instants import Column
from ticktape.decoders.projection import Reader, Shape
from ticktape.decoders.session import Int64
from ticktape.records import Bar, Quote, Trade

_NULL = msgspec.Raw(b"null")
_NS_PER_MS = 1_000_000
_INT64_MAX = 2**63 - 1
_CODES_MAX = 4_096  # a few dozen exist; what a hostile venue may make us remember
_CONTROL_STREAMS = ("authorization", "listening")

# Milliseconds whose nanoseconds are an int64.
Millis = Annotated[int, msgspec.Meta(ge=-_INT64_MAX // _NS_PER_MS, le=_INT64_MAX // _NS_PER_MS)]


class TradeV1(msgspec.Struct, tag="T", tag_field="ev", gc=False):
    """T symbol, t ns, p price, s size, i id, x exchange, z tape, c conditions."""

    T: str
    t: Int64
    p: float
    s: float
    i: Int64 | str | None = None
    x: int | str | None = None
    z: int | str | None = None
    c: msgspec.Raw = _NULL


class QuoteV1(msgspec.Struct, tag="Q", tag_field="ev", gc=False):
    """Small letters are the bid, capitals the ask: p price, s size, x exchange; t time in ns."""

    T: str
    t: Int64
    p: float
    s: float
    P: float
    S: float
    x: int | str | None = None
    X: int | str | None = None
    c: msgspec.Raw = _NULL


class MinuteV1(msgspec.Struct, tag="AM", tag_field="ev", gc=False):
    """o h l c prices, v volume, vw average price, s start in ms."""

    T: str
    s: Millis
    o: float
    h: float
    l: float  # noqa: E741 - the venue's own name
    c: float
    v: float
    vw: float | None = None


class _Frame(msgspec.Struct, gc=False):
    data: TradeV1 | QuoteV1 | MinuteV1


class ControlV1(msgspec.Struct, gc=False):
    """An answer to `authenticate` or `listen`."""

    stream: str


_FRAME = msgspec.json.Decoder(_Frame)
_CONTROL = msgspec.json.Decoder(ControlV1)


class AlpacaV1Wire:
    """The v1 grammar; `shapes` are bound to this instance's memory of condition lists."""

    controls: frozenset[type] = frozenset({ControlV1})

    def __init__(self) -> None:
        self.reads: tuple[Reader, Reader] = (_read, _read)  # JSON also in binary frames
        self._conditions = Conditions(numbers=True)
        self._codes = _Codes()
        self.shapes: dict[type, Shape] = {
            TradeV1: Shape("trades", self._trade, self._trade_columns),
            QuoteV1: Shape("quotes", self._quote, self._quote_columns),
            MinuteV1: Shape("bars", _bar, _bar_columns),
        }

    def salvage(self, payload: bytes, reason: str) -> list[Any]:
        """Tell the answers to our own requests from what nobody can read."""
        try:
            control = _CONTROL.decode(payload)
        except (ValueError, RecursionError):
            return [unreadable(reason, payload)]
        if control.stream in _CONTROL_STREAMS:
            return [control]
        return [unreadable(reason, payload)]

    def text(self, payload: bytes, index: int) -> bytes:
        """Give the frame, which is one message."""
        return payload

    def _trade(
        self, w: TradeV1, feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Trade:
        return Trade(
            feed=feed,
            symbol=w.T,
            event_ns=w.t,
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            price=w.p,
            size=w.s,
            exchange=self._codes[w.x],
            id=_id(w.i),
            conditions=self._conditions[bytes(w.c)],
            tape=self._codes[w.z],
        )

    def _trade_columns(self, wires: list[TradeV1]) -> list[Column]:
        codes = self._codes
        return [
            texts([w.T for w in wires]),
            ints([w.t for w in wires]),
            floats([w.p for w in wires]),
            floats([w.s for w in wires]),
            texts([codes[w.x] for w in wires]),
            _ids([w.i for w in wires]),
            self._conditions.column([w.c for w in wires]),
            texts([codes[w.z] for w in wires]),
            pa.repeat("", len(wires)),
        ]

    def _quote(
        self, w: QuoteV1, feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Quote:
        return Quote(
            feed=feed,
            symbol=w.T,
            event_ns=w.t,
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            bid_price=w.p,
            bid_size=w.s,
            bid_exchange=self._codes[w.x],
            ask_price=w.P,
            ask_size=w.S,
            ask_exchange=self._codes[w.X],
            conditions=self._conditions[bytes(w.c)],
        )

    def _quote_columns(self, wires: list[QuoteV1]) -> list[Column]:
        codes = self._codes
        return [
            texts([w.T for w in wires]),
            ints([w.t for w in wires]),
            floats([w.p for w in wires]),
            floats([w.s for w in wires]),
            texts([codes[w.x] for w in wires]),
            floats([w.P for w in wires]),
            floats([w.S for w in wires]),
            texts([codes[w.X] for w in wires]),
            self._conditions.column([w.c for w in wires]),
            pa.repeat("", len(wires)),
        ]


def _read(payload: bytes) -> list[Any]:
    return [_FRAME.decode(payload).data]


def _bar(w: MinuteV1, feed: str, recv_ns: int, epoch: int, seq: int, index: int) -> Bar:
    return Bar(
        feed=feed,
        symbol=w.T,
        event_ns=w.s * _NS_PER_MS,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        span="minute",
        open=w.o,
        high=w.h,
        low=w.l,
        close=w.c,
        volume=w.v,
        vwap=w.vw,
    )


def _bar_columns(wires: list[MinuteV1]) -> list[Column]:
    count = len(wires)
    return [
        texts([w.T for w in wires]),
        ints([w.s * _NS_PER_MS for w in wires]),
        pa.repeat("minute", count),
        floats([w.o for w in wires]),
        floats([w.h for w in wires]),
        floats([w.l for w in wires]),
        floats([w.c for w in wires]),
        floats([w.v for w in wires]),
        pa.nulls(count, pa.int64()),
        floats([w.vw for w in wires]),
    ]


class _Codes(dict[int | str | None, str]):
    """The texts of the numbers of exchanges and tapes, each made once; bounded."""

    def __missing__(self, code: int | str | None) -> str:
        text = "" if code is None else str(code)
        if len(self) >= _CODES_MAX:
            self.clear()
        self[code] = text
        return text


def _ids(values: list[int | str | None]) -> Column:
    """Make the id column; texts that are all canonical int64s go through Arrow at once."""
    try:
        as_text = pa.array(values, pa.string())
        numbers = as_text.cast(pa.int64())
        if numbers.cast(pa.string()).equals(as_text):
            return cast("Column", numbers)
    except (TypeError, ValueError):  # numbers among them, or a text that is none
        pass
    return ints([_id(value) for value in values])


def _id(value: int | str | None) -> int | None:
    if not isinstance(value, str):
        return value
    try:
        number = int(value)
    except ValueError:
        return None
    return number if str(number) == value and -_INT64_MAX - 1 <= number <= _INT64_MAX else None
