"""Alpaca's trades, quotes, bars and crypto books as records and columns, for both encodings.

Nothing here may change a number: prices are the float64 that the venue's text parses to, times keep
their nanoseconds.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from ticktape.decoders.alpaca_messages import (
    BarWire,
    CryptoBookWire,
    LevelWire,
    QuoteWire,
    TradeWire,
)
from ticktape.decoders.alpaca_usual import usual_quotes, usual_trades
from ticktape.decoders.columns import float_lists, floats, ints, texts
from ticktape.decoders.conditions import Conditions, bytes_of
from ticktape.decoders.instants import Column
from ticktape.decoders.nanoseconds import nanoseconds
from ticktape.decoders.packed import moments
from ticktape.decoders.projection import Brief, Draft, Shape
from ticktape.records import Bar, CryptoBook, Quote, Record, Trade


class PriceRows:
    """The shapes by their `T`; `instant` reads one time in the form that the encoding has.

    `instants` reads many of them, where that is quicker than one by one.
    """

    def __init__(
        self,
        instant: Callable[[Any], int],
        conditions: Conditions,
        instants: Callable[[list[Any]], list[int]] | None = None,
    ) -> None:
        self._instant = instant
        self._instants = instants or (lambda times: list(map(instant, times)))
        self._conditions = conditions
        bar = Shape("bars", self._bar, _bar_columns)
        draft = Draft(_symbols, self._event_ns)
        self.shapes: dict[str, Shape] = {
            "t": Shape(
                "trades",
                self._trade,
                self._trade_columns,
                self._trade_brief,
                draft,
                records=self._trades,
                usual=usual_trades(conditions),
            ),
            "q": Shape(
                "quotes",
                self._quote,
                self._quote_columns,
                self._quote_brief,
                draft,
                records=self._quotes,
                usual=usual_quotes(conditions),
            ),
            "b": bar,
            "u": bar,
            "d": bar,
            "o": Shape("crypto_books", self._book, _book_columns),
        }

    def _trade(
        self, w: TradeWire[Any], feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Trade:
        return Trade(
            feed,
            w.S,
            self._instant(w.t),
            recv_ns,
            epoch,
            seq,
            index,
            w.p,
            w.s,
            w.x or "",
            w.i,
            self._conditions[bytes_of(w.c)],
            w.z or "",
            w.tks or "",
        )

    def _trades(
        self, wires: list[TradeWire[Any]], feed: str, recv_ns: int, epoch: int, seq: int
    ) -> list[Record]:
        conditions = self._conditions
        times = self._instants([w.t for w in wires])
        return [
            Trade(
                feed,
                w.S,
                event_ns,
                recv_ns,
                epoch,
                seq,
                index,
                w.p,
                w.s,
                w.x or "",
                w.i,
                conditions[bytes_of(w.c)],
                w.z or "",
                w.tks or "",
            )
            for index, (w, event_ns) in enumerate(zip(wires, times, strict=True))
        ]

    def _trade_columns(self, wires: list[TradeWire[Any]]) -> list[Column]:
        return [
            texts([w.S for w in wires]),
            moments([w.t for w in wires]),
            floats([w.p for w in wires]),
            floats([w.s for w in wires]),
            texts([w.x for w in wires]),
            ints([w.i for w in wires]),
            self._conditions.column([w.c for w in wires]),
            texts([w.z for w in wires]),
            texts([w.tks for w in wires]),
        ]

    def _trade_brief(self, wires: list[TradeWire[Any]]) -> Brief:
        return {
            "symbol": texts([w.S for w in wires]),
            "event_ns": moments([w.t for w in wires]),
            "conditions": self._conditions.column([w.c for w in wires]),
            "tape": texts([w.z for w in wires]),
        }

    def _quote(
        self, w: QuoteWire[Any], feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Quote:
        return Quote(
            feed,
            w.S,
            self._instant(w.t),
            recv_ns,
            epoch,
            seq,
            index,
            bid_price=w.bp,
            bid_size=w.bs,
            bid_exchange=w.bx or "",
            ask_price=w.ap,
            ask_size=w.as_,
            ask_exchange=w.ax or "",
            conditions=self._conditions[bytes_of(w.c)],
            tape=w.z or "",
        )

    def _quotes(
        self, wires: list[QuoteWire[Any]], feed: str, recv_ns: int, epoch: int, seq: int
    ) -> list[Record]:
        conditions = self._conditions
        times = self._instants([w.t for w in wires])
        return [
            Quote(
                feed,
                w.S,
                event_ns,
                recv_ns,
                epoch,
                seq,
                index,
                bid_price=w.bp,
                bid_size=w.bs,
                bid_exchange=w.bx or "",
                ask_price=w.ap,
                ask_size=w.as_,
                ask_exchange=w.ax or "",
                conditions=conditions[bytes_of(w.c)],
                tape=w.z or "",
            )
            for index, (w, event_ns) in enumerate(zip(wires, times, strict=True))
        ]

    def _quote_columns(self, wires: list[QuoteWire[Any]]) -> list[Column]:
        return [
            texts([w.S for w in wires]),
            moments([w.t for w in wires]),
            floats([w.bp for w in wires]),
            floats([w.bs for w in wires]),
            texts([w.bx for w in wires]),
            floats([w.ap for w in wires]),
            floats([w.as_ for w in wires]),
            texts([w.ax for w in wires]),
            self._conditions.column([w.c for w in wires]),
            texts([w.z for w in wires]),
        ]

    def _quote_brief(self, wires: list[QuoteWire[Any]]) -> Brief:
        self._conditions.column([w.c for w in wires])  # which may be none: then it is no quote
        return {
            "symbol": texts([w.S for w in wires]),
            "event_ns": moments([w.t for w in wires]),
        }

    def _event_ns(self, wires: list[TradeWire[Any]] | list[QuoteWire[Any]]) -> list[int]:
        self._conditions.check([w.c for w in wires])
        return nanoseconds([w.t for w in wires])

    def _bar(
        self, w: BarWire[Any], feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Bar:
        return Bar(
            feed,
            w.S,
            self._instant(w.t),
            recv_ns,
            epoch,
            seq,
            index,
            span=w.span,
            open=w.o,
            high=w.h,
            low=w.l,
            close=w.c,
            volume=w.v,
            trade_count=w.n,
            vwap=w.vw,
        )

    def _book(
        self, w: CryptoBookWire[Any], feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> CryptoBook:
        bids, asks = w.b or (), w.a or ()
        return CryptoBook(
            feed,
            w.S,
            self._instant(w.t),
            recv_ns,
            epoch,
            seq,
            index,
            reset=w.r or False,
            bid_prices=tuple([level.p for level in bids]),
            bid_sizes=tuple([level.s for level in bids]),
            ask_prices=tuple([level.p for level in asks]),
            ask_sizes=tuple([level.s for level in asks]),
        )


def _symbols(wires: list[TradeWire[Any]] | list[QuoteWire[Any]]) -> list[str]:
    return [w.S for w in wires]


def _bar_columns(wires: list[BarWire[Any]]) -> list[Column]:
    return [
        texts([w.S for w in wires]),
        moments([w.t for w in wires]),
        texts([w.span for w in wires]),
        floats([w.o for w in wires]),
        floats([w.h for w in wires]),
        floats([w.l for w in wires]),
        floats([w.c for w in wires]),
        floats([w.v for w in wires]),
        ints([w.n for w in wires]),
        floats([w.vw for w in wires]),
    ]


def _book_columns(wires: list[CryptoBookWire[Any]]) -> list[Column]:
    return [
        texts([w.S for w in wires]),
        moments([w.t for w in wires]),
        pa.array([w.r or False for w in wires], pa.bool_()),
        *_side_columns([w.b or [] for w in wires]),
        *_side_columns([w.a or [] for w in wires]),
    ]


def _side_columns(sides: list[list[LevelWire]]) -> tuple[Column, Column]:
    return (
        float_lists([[level.p for level in side] for side in sides]),
        float_lists([[level.s for level in side] for side in sides]),
    )
