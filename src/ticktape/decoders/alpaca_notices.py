"""What Alpaca tells about trading, as records and columns for both encodings.

Corrections, cancels, statuses, price bands, imbalances and news: seldom beside trades and quotes.
"""

from collections.abc import Callable
from typing import Any

from ticktape.decoders.alpaca_messages import (
    CancelWire,
    CorrectionWire,
    ImbalanceWire,
    LuldWire,
    NewsWire,
    StatusWire,
)
from ticktape.decoders.columns import floats, ints, text_lists, texts
from ticktape.decoders.conditions import Conditions
from ticktape.decoders.instants import Column
from ticktape.decoders.packed import moments
from ticktape.decoders.projection import Shape
from ticktape.records import Cancel, Correction, Imbalance, Luld, News, Status


class NoticeRows:
    """The shapes by their `T`; `instant` reads one time in the form that the encoding has."""

    def __init__(self, instant: Callable[[Any], int], conditions: Conditions) -> None:
        self._instant = instant
        self._conditions = conditions
        self.shapes: dict[str, Shape] = {
            "c": Shape("corrections", self._correction, self._correction_columns),
            "x": Shape("cancels", self._cancel, _cancel_columns),
            "s": Shape("statuses", self._status, _status_columns),
            "l": Shape("lulds", self._luld, _luld_columns),
            "i": Shape("imbalances", self._imbalance, _imbalance_columns),
            "n": Shape("news", self._news, _news_columns),
        }

    def _correction(
        self, w: CorrectionWire[Any], feed: str, recv_ns: int, epoch: int, seq: int, index: int
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

    def _correction_columns(self, wires: list[CorrectionWire[Any]]) -> list[Column]:
        return [
            texts([w.S for w in wires]),
            moments([w.t for w in wires]),
            texts([w.x for w in wires]),
            ints([w.oi for w in wires]),
            floats([w.op for w in wires]),
            floats([w.os for w in wires]),
            self._conditions.column([w.oc for w in wires]),
            ints([w.ci for w in wires]),
            floats([w.cp for w in wires]),
            floats([w.cs for w in wires]),
            self._conditions.column([w.cc for w in wires]),
            texts([w.z for w in wires]),
        ]

    def _cancel(
        self, w: CancelWire[Any], feed: str, recv_ns: int, epoch: int, seq: int, index: int
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

    def _status(
        self, w: StatusWire[Any], feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Status:
        return Status(
            feed=feed,
            symbol=w.S,
            event_ns=self._instant(w.t),
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            status_code=w.sc or "",
            status_message=w.sm or "",
            reason_code=w.rc or "",
            reason_message=w.rm or "",
            tape=w.z or "",
        )

    def _luld(
        self, w: LuldWire[Any], feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Luld:
        return Luld(
            feed=feed,
            symbol=w.S,
            event_ns=self._instant(w.t),
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            limit_up=w.u,
            limit_down=w.d,
            indicator=w.i or "",
            tape=w.z or "",
        )

    def _imbalance(
        self, w: ImbalanceWire[Any], feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> Imbalance:
        return Imbalance(
            feed=feed,
            symbol=w.S,
            event_ns=self._instant(w.t),
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            price=w.p,
            tape=w.z or "",
        )

    def _news(
        self, w: NewsWire[Any], feed: str, recv_ns: int, epoch: int, seq: int, index: int
    ) -> News:
        updated_ns = self._instant(w.updated_at)
        return News(
            feed=feed,
            symbol=_first_symbol(w),
            event_ns=updated_ns,
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            id=w.id,
            headline=w.headline or "",
            summary=w.summary or "",
            author=w.author or "",
            source=w.source or "",
            url=w.url or "",
            content=w.content or "",
            symbols=tuple(w.symbols or ()),
            created_ns=self._instant(w.created_at),
            updated_ns=updated_ns,
        )


def _cancel_columns(wires: list[CancelWire[Any]]) -> list[Column]:
    return [
        texts([w.S for w in wires]),
        moments([w.t for w in wires]),
        texts([w.x for w in wires]),
        ints([w.i for w in wires]),
        floats([w.p for w in wires]),
        floats([w.s for w in wires]),
        texts([w.a for w in wires]),
        texts([w.z for w in wires]),
    ]


def _status_columns(wires: list[StatusWire[Any]]) -> list[Column]:
    return [
        texts([w.S for w in wires]),
        moments([w.t for w in wires]),
        texts([w.sc for w in wires]),
        texts([w.sm for w in wires]),
        texts([w.rc for w in wires]),
        texts([w.rm for w in wires]),
        texts([w.z for w in wires]),
    ]


def _luld_columns(wires: list[LuldWire[Any]]) -> list[Column]:
    return [
        texts([w.S for w in wires]),
        moments([w.t for w in wires]),
        floats([w.u for w in wires]),
        floats([w.d for w in wires]),
        texts([w.i for w in wires]),
        texts([w.z for w in wires]),
    ]


def _imbalance_columns(wires: list[ImbalanceWire[Any]]) -> list[Column]:
    return [
        texts([w.S for w in wires]),
        moments([w.t for w in wires]),
        floats([w.p for w in wires]),
        texts([w.z for w in wires]),
    ]


def _news_columns(wires: list[NewsWire[Any]]) -> list[Column]:
    updated_ns = moments([w.updated_at for w in wires])
    return [
        texts([_first_symbol(w) for w in wires]),
        updated_ns,
        ints([w.id for w in wires]),
        texts([w.headline for w in wires]),
        texts([w.summary for w in wires]),
        texts([w.author for w in wires]),
        texts([w.source for w in wires]),
        texts([w.url for w in wires]),
        texts([w.content for w in wires]),
        text_lists([w.symbols or [] for w in wires]),
        moments([w.created_at for w in wires]),
        updated_ns,
    ]


def _first_symbol(w: NewsWire[Any]) -> str:
    return w.symbols[0] if w.symbols else ""
