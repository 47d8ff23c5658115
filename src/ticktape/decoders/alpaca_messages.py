"""What Alpaca's v2 stock stream sends, key by key; the keys never leave the decoder.

A frame is an array of maps, each with its type in `T`. Keys differ by case alone (`S` symbol, `s`
size), and `x` is both a type and a key. Field types are strict, so that a text where a price
belongs can never pass for one.

Source: docs.alpaca.markets, "Real-time stock data", and the clients alpaca-py 0.44.0 and
alpaca-trade-api-go v3.
"""

from typing import Any

import msgspec

from ticktape.decoders.session import Int64

NULL = msgspec.Raw(b"null")


class TradeWire(msgspec.Struct, tag="t", tag_field="T", gc=False):
    """S symbol, t time, p price, s size, i id, x exchange, z tape, c conditions, tks taker side."""

    S: str
    t: str
    p: float
    s: float
    i: Int64 | None = None
    x: str | None = None
    z: str | None = None
    tks: str | None = None
    c: msgspec.Raw = NULL


class QuoteWire(msgspec.Struct, tag="q", tag_field="T", gc=False):
    """b… bid, a… ask: p price, s size, x exchange."""

    S: str
    t: str
    bp: float
    bs: float
    ap: float
    as_: float = msgspec.field(name="as")
    bx: str | None = None
    ax: str | None = None
    z: str | None = None
    c: msgspec.Raw = NULL


class BarWire(msgspec.Struct, gc=False):
    """o h l c prices, v volume, n number of trades, vw average price; t is the start."""

    S: str
    t: str
    o: float
    h: float
    l: float  # noqa: E741 - the venue's own name
    c: float
    v: float
    n: Int64 | None = None
    vw: float | None = None


class MinuteBarWire(BarWire, tag="b", tag_field="T", gc=False):
    """A minute, sent when it is over."""


class UpdatedBarWire(BarWire, tag="u", tag_field="T", gc=False):
    """A minute again, because late trades changed it."""


class DayBarWire(BarWire, tag="d", tag_field="T", gc=False):
    """The day so far."""


class CorrectionWire(msgspec.Struct, tag="c", tag_field="T", gc=False):
    """o… the wrong trade, c… the right one: i id, p price, s size, c conditions."""

    S: str
    t: str
    oi: Int64
    op: float
    os: float
    ci: Int64
    cp: float
    cs: float
    x: str | None = None
    z: str | None = None
    oc: msgspec.Raw = NULL
    cc: msgspec.Raw = NULL


class CancelWire(msgspec.Struct, tag="x", tag_field="T", gc=False):
    """i x p s name the cancelled trade; a is C (cancel) or E (error)."""

    S: str
    t: str
    i: Int64
    p: float
    s: float
    x: str | None = None
    a: str | None = None
    z: str | None = None


class SuccessWire(msgspec.Struct, tag="success", tag_field="T", gc=False):
    """`connected` or `authenticated`."""


class ErrorWire(msgspec.Struct, tag="error", tag_field="T", gc=False):
    """The venue refuses something."""


class SubscriptionWire(msgspec.Struct, tag="subscription", tag_field="T", gc=False):
    """The whole present subscription."""


Message = (
    TradeWire
    | QuoteWire
    | MinuteBarWire
    | UpdatedBarWire
    | DayBarWire
    | CorrectionWire
    | CancelWire
    | SuccessWire
    | ErrorWire
    | SubscriptionWire
)
SPANS: dict[type, str] = {
    MinuteBarWire: "minute",
    UpdatedBarWire: "updated",
    DayBarWire: "day",
}

FRAME: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[Message])
PIECES = msgspec.json.Decoder(list[msgspec.Raw])
PIECE: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Message)
