"""Alpaca's v2 stock stream in JSON: trades, quotes, bars, corrections and cancels.

A field that the venue adds is ignored here and kept in the journal. Where JSON repeats a key, the
last one counts. Nothing here may change a number: prices are the float64 that the text parses to,
times keep their nanoseconds.
"""

from typing import Any

import msgspec
import pyarrow as pa

from ticktape.decoders.alpaca_messages import (
    FRAME,
    PIECE,
    PIECES,
    SPANS,
    BarWire,
    CancelWire,
    CorrectionWire,
    DayBarWire,
    ErrorWire,
    MinuteBarWire,
    QuoteWire,
    SubscriptionWire,
    SuccessWire,
    TradeWire,
    UpdatedBarWire,
)
from ticktape.decoders.columns import floats, ints, texts
from ticktape.decoders.conditions import Conditions
from ticktape.decoders.instants import Column, InstantParser, instants
from ticktape.decoders.projection import Shape, unreadable
from ticktape.records import Bar, Cancel, Correction, Quote, Trade


class AlpacaWire:
    """The v2 grammar; `shapes` are bound to this instance's memories."""

    controls: frozenset[type] = frozenset({SuccessWire, ErrorWire, SubscriptionWire})

    def __init__(self) -> None:
        self._instant = InstantParser().parse
        self._conditions = Conditions()
        self.read = FRAME.decode  # without a call of ours between: it is made once per frame
        bar = Shape("bars", self._bar, _bar_columns)
        self.shapes: dict[type, Shape] = {
            TradeWire: Shape("trades", self._trade, self._trade_columns),
            QuoteWire: Shape("quotes", self._quote, self._quote_columns),
            MinuteBarWire: bar,
            UpdatedBarWire: bar,
            DayBarWire: bar,
            CorrectionWire: Shape("corrections", self._correction, self._correction_columns),
            CancelWire: Shape("cancels", self._cancel, _cancel_columns),
        }

    def salvage(self, payload: bytes, reason: str) -> list[Any]:
        """Read a frame message by message; one Unreadable for a frame that is no array."""
        try:
            pieces = PIECES.decode(payload)
        except (ValueError, RecursionError):
            return [unreadable(f"not an array of messages: {reason}", payload)]
        return [_read_piece(piece) for piece in pieces]

    def text(self, payload: bytes, index: int) -> bytes:
        """Cut one message's bytes out of a frame."""
        return bytes(PIECES.decode(payload)[index])

    def _trade(
        self, w: TradeWire, feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Trade:
        return Trade(
            feed=feed,
            symbol=w.S,
            event_ns=self._instant(w.t),
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            price=w.p,
            size=w.s,
            exchange=w.x or "",
            id=w.i,
            conditions=self._conditions[bytes(w.c)],
            tape=w.z or "",
            taker_side=w.tks or "",
        )

    def _trade_columns(self, wires: list[TradeWire]) -> list[Column]:
        return [
            texts([w.S for w in wires]),
            instants([w.t for w in wires]),
            floats([w.p for w in wires]),
            floats([w.s for w in wires]),
            texts([w.x for w in wires]),
            ints([w.i for w in wires]),
            self._joined([w.c for w in wires]),
            texts([w.z for w in wires]),
            texts([w.tks for w in wires]),
        ]

    def _quote(
        self, w: QuoteWire, feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Quote:
        return Quote(
            feed=feed,
            symbol=w.S,
            event_ns=self._instant(w.t),
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            bid_price=w.bp,
            bid_size=w.bs,
            bid_exchange=w.bx or "",
            ask_price=w.ap,
            ask_size=w.as_,
            ask_exchange=w.ax or "",
            conditions=self._conditions[bytes(w.c)],
            tape=w.z or "",
        )

    def _quote_columns(self, wires: list[QuoteWire]) -> list[Column]:
        return [
            texts([w.S for w in wires]),
            instants([w.t for w in wires]),
            floats([w.bp for w in wires]),
            floats([w.bs for w in wires]),
            texts([w.bx for w in wires]),
            floats([w.ap for w in wires]),
            floats([w.as_ for w in wires]),
            texts([w.ax for w in wires]),
            self._joined([w.c for w in wires]),
            texts([w.z for w in wires]),
        ]

    def _bar(self, w: BarWire, feed: str, recv_ns: int, epoch: int, seq: int, index: int) -> Bar:
        return Bar(
            feed=feed,
            symbol=w.S,
            event_ns=self._instant(w.t),
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            span=SPANS[type(w)],
            open=w.o,
            high=w.h,
            low=w.l,
            close=w.c,
            volume=w.v,
            trade_count=w.n,
            vwap=w.vw,
        )

    def _correction(
        self, w: CorrectionWire, feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Correction:
        return Correction(
            feed=feed,
            symbol=w.S,
            event_ns=self._instant(w.t),
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            exchange=w.x or "",
            original_id=w.oi,
            original_price=w.op,
            original_size=w.os,
            original_conditions=self._conditions[bytes(w.oc)],
            corrected_id=w.ci,
            corrected_price=w.cp,
            corrected_size=w.cs,
            corrected_conditions=self._conditions[bytes(w.cc)],
            tape=w.z or "",
        )

    def _correction_columns(self, wires: list[CorrectionWire]) -> list[Column]:
        return [
            texts([w.S for w in wires]),
            instants([w.t for w in wires]),
            texts([w.x for w in wires]),
            ints([w.oi for w in wires]),
            floats([w.op for w in wires]),
            floats([w.os for w in wires]),
            self._joined([w.oc for w in wires]),
            ints([w.ci for w in wires]),
            floats([w.cp for w in wires]),
            floats([w.cs for w in wires]),
            self._joined([w.cc for w in wires]),
            texts([w.z for w in wires]),
        ]

    def _cancel(
        self, w: CancelWire, feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Cancel:
        return Cancel(
            feed=feed,
            symbol=w.S,
            event_ns=self._instant(w.t),
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            exchange=w.x or "",
            id=w.i,
            price=w.p,
            size=w.s,
            action=w.a or "",
            tape=w.z or "",
        )

    def _joined(self, raws: list[msgspec.Raw]) -> Column:
        conditions = self._conditions
        return pa.array([conditions[bytes(raw)] for raw in raws], pa.string())


def _read_piece(piece: msgspec.Raw) -> object:
    try:
        return PIECE.decode(piece)
    except (ValueError, RecursionError) as error:
        return unreadable(str(error), bytes(piece))


def _bar_columns(wires: list[BarWire]) -> list[Column]:
    return [
        texts([w.S for w in wires]),
        instants([w.t for w in wires]),
        texts([SPANS[type(w)] for w in wires]),
        floats([w.o for w in wires]),
        floats([w.h for w in wires]),
        floats([w.l for w in wires]),
        floats([w.c for w in wires]),
        floats([w.v for w in wires]),
        ints([w.n for w in wires]),
        floats([w.vw for w in wires]),
    ]


def _cancel_columns(wires: list[CancelWire]) -> list[Column]:
    return [
        texts([w.S for w in wires]),
        instants([w.t for w in wires]),
        texts([w.x for w in wires]),
        ints([w.i for w in wires]),
        floats([w.p for w in wires]),
        floats([w.s for w in wires]),
        texts([w.a for w in wires]),
        texts([w.z for w in wires]),
    ]
