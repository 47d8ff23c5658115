"""What Alpaca's v2 streams send, key by key; the keys never leave the decoder.

A frame is an array of maps, each with its type in `T`. Keys differ by case alone (`S` symbol, `s`
size), and `x` is both a type and a key. Field types are strict, so that a text where a price
belongs can never pass for one. JSON and MessagePack hold the same maps and differ in their times
alone: each map is written once here, and made into a type for either encoding.

Source: docs.alpaca.markets, "Real-time stock data", "Real-time crypto data", "Real-time option
data", "Real-time news", and the clients alpaca-py 0.44.0 and alpaca-trade-api-go v3.
"""

from collections.abc import Callable, Mapping
from types import GenericAlias, new_class
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, Union

import msgspec

from ticktape.decoders.session import Int64

Instant = TypeVar("Instant", str, msgspec.Raw)

NULL = msgspec.Raw(b"null")


class TradeWire(msgspec.Struct, Generic[Instant], gc=False, kw_only=True):
    """S symbol, t time, p price, s size, i id, x exchange, z tape, c conditions, tks taker side.

    Crypto has no x, z and c, an option no i and z; an option's c is one text. They stand as the
    venue sends them: in that order a frame is read a fifth faster.
    """

    i: Int64 | None = None
    S: str
    x: str | None = None
    p: float
    s: float
    t: Instant
    c: msgspec.Raw = NULL
    z: str | None = None
    tks: str | None = None


class QuoteWire(msgspec.Struct, Generic[Instant], gc=False, kw_only=True):
    """b… bid, a… ask: p price, s size, x exchange; the rest as in a trade."""

    S: str
    bx: str | None = None
    bp: float
    bs: float
    ax: str | None = None
    ap: float
    as_: float = msgspec.field(name="as")
    t: Instant
    c: msgspec.Raw = NULL
    z: str | None = None


class BarWire(msgspec.Struct, Generic[Instant], gc=False):
    """o h l c prices, v volume, n number of trades, vw average price; t is the start."""

    span: ClassVar[str]

    S: str
    t: Instant
    o: float
    h: float
    l: float  # noqa: E741 - the venue's own name
    c: float
    v: float
    n: Int64 | None = None
    vw: float | None = None


class MinuteBarWire(BarWire[Instant], gc=False):
    """A minute, sent when it is over."""

    span = "minute"


class UpdatedBarWire(BarWire[Instant], gc=False):
    """A minute again, because late trades changed it."""

    span = "updated"


class DayBarWire(BarWire[Instant], gc=False):
    """The day so far."""

    span = "day"


class LevelWire(msgspec.Struct, gc=False):
    """p price, s size; 0 takes the level away."""

    p: float
    s: float


class CryptoBookWire(msgspec.Struct, Generic[Instant], gc=False):
    """b bids, a asks, r whether they are the whole book."""

    S: str
    t: Instant
    b: list[LevelWire] | None = None
    a: list[LevelWire] | None = None
    r: bool | None = None


class CorrectionWire(msgspec.Struct, Generic[Instant], gc=False):
    """o… the wrong trade, c… the right one: i id, p price, s size, c conditions."""

    S: str
    t: Instant
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


class CancelWire(msgspec.Struct, Generic[Instant], gc=False):
    """i x p s name the cancelled trade; a is C (cancel) or E (error)."""

    S: str
    t: Instant
    i: Int64
    p: float
    s: float
    x: str | None = None
    a: str | None = None
    z: str | None = None


class StatusWire(msgspec.Struct, Generic[Instant], gc=False):
    """s… status, r… reason: c code, m message."""

    S: str
    t: Instant
    sc: str | None = None
    sm: str | None = None
    rc: str | None = None
    rm: str | None = None
    z: str | None = None


class LuldWire(msgspec.Struct, Generic[Instant], gc=False):
    """u limit up, d limit down, i indicator."""

    S: str
    t: Instant
    u: float
    d: float
    i: str | None = None
    z: str | None = None


class ImbalanceWire(msgspec.Struct, Generic[Instant], gc=False):
    """p the indicative price of a halt."""

    S: str
    t: Instant
    p: float
    z: str | None = None


class NewsWire(msgspec.Struct, Generic[Instant], gc=False):
    """An article in whole words; it has symbols, maybe none, and two times."""

    id: Int64
    created_at: Instant
    updated_at: Instant
    headline: str | None = None
    summary: str | None = None
    author: str | None = None
    source: str | None = None
    url: str | None = None
    content: str | None = None
    symbols: list[str] | None = None


class SuccessWire(msgspec.Struct, tag="success", tag_field="T", gc=False):
    """`connected` or `authenticated`."""


class ErrorWire(msgspec.Struct, tag="error", tag_field="T", gc=False):
    """The venue refuses something."""


class SubscriptionWire(msgspec.Struct, tag="subscription", tag_field="T", gc=False):
    """The whole present subscription."""


CONTROLS: frozenset[type] = frozenset({SuccessWire, ErrorWire, SubscriptionWire})

_WIRES: dict[str, Any] = {
    "t": TradeWire,
    "q": QuoteWire,
    "b": MinuteBarWire,
    "u": UpdatedBarWire,
    "d": DayBarWire,
    "o": CryptoBookWire,
    "c": CorrectionWire,
    "x": CancelWire,
    "s": StatusWire,
    "l": LuldWire,
    "i": ImbalanceWire,
    "n": NewsWire,
}


class Encoding(NamedTuple):
    """One encoding of the grammar: the types by their `T`, and what reads them.

    `frame` reads a whole frame, `split` cuts one into its messages, `message` reads one of them;
    all three raise ValueError or RecursionError.
    """

    types: Mapping[str, type]
    frame: Callable[[bytes], list[Any]]
    split: Callable[[bytes], list[msgspec.Raw]]
    message: Callable[[bytes], Any]


def _encoding(decoder: Callable[[Any], Any], instant: type) -> Encoding:
    types: dict[str, type] = {
        tag: new_class(wire.__name__, (wire[instant],), {"tag": tag, "tag_field": "T", "gc": False})
        for tag, wire in _WIRES.items()
    }
    message: Any = Union[(*types.values(), *CONTROLS)]
    return Encoding(
        types,
        decoder(GenericAlias(list, (message,))).decode,
        decoder(list[msgspec.Raw]).decode,
        decoder(message).decode,
    )


JSON = _encoding(msgspec.json.Decoder, str)
PACKED = _encoding(msgspec.msgpack.Decoder, msgspec.Raw)
