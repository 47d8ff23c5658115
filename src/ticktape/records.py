"""The words: what a journal holds (Entry) and what decoders make of it (records).

Records are frozen and slotted, times are int64 nanoseconds UTC, prices and sizes float64 as the
venue's text parses, ids int64. Every record says where it came from: `feed`, `symbol`, `recv_ns`
(our wall clock at the socket read), `epoch`, `seq` (the entry) and `index` (its place in it), so
that any row can be followed back to the bytes.
"""

from enum import IntEnum, StrEnum
from typing import ClassVar, NamedTuple, NewType

import msgspec

Seq = NewType("Seq", int)
Nanos = NewType("Nanos", int)


class Position(NamedTuple):
    """A place in a journal, never used twice: the writer's start, and the byte offset in it.

    `offset` counts from 0 over all segments of the epoch; positions compare in reading order.
    """

    epoch: int
    offset: int


class EntryKind(IntEnum):
    """What one entry of a journal is; 4 bits on the disk, 0 to 15."""

    TEXT = 0  # a WebSocket text message, as received
    BINARY = 1  # a WebSocket binary message, as received
    SESSION = 2  # JSON: a state change of the connection, with its gap
    CLOCK = 3  # JSON: the wall clock was anchored again
    DROPPED = 4  # JSON: what the full memory made us drop, counted
    INPUT = 5  # JSON: which blocks or timer a strategy was given, in order
    DECISION = 6  # JSON: what a strategy returned
    ERROR = 7  # JSON: what a strategy raised
    NOTE = 8  # JSON: anything else worth keeping (ledger, later)
    POLLS = 9  # JSON: how often a polled venue was asked in a second, and what came of it


class Entry(NamedTuple):
    """One thing in a block: what the venue sent, or what we say of the session.

    `payload` is an own copy, free to keep.
    """

    seq: int
    kind: int
    payload: bytes
    recv_ns: int
    recv_mono_ns: int
    session: int


class Witness(StrEnum):
    """Where a row came from."""

    STREAM = "stream"
    REST = "rest"
    REPLAY = "replay"
    LEG_A = "leg A"
    LEG_B = "leg B"


class Witnessed(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Where a record came from; apart, so that the fields of every record can be given by place.

    What comes in masses is made so: it takes two thirds of the time that names take.
    """

    witness: str = "stream"


class Record(Witnessed, frozen=True, gc=False):
    """What every record has."""

    kind: ClassVar[str] = ""

    feed: str
    symbol: str
    event_ns: int
    recv_ns: int
    epoch: int
    seq: int
    index: int


class Trade(Record, frozen=True, gc=False):
    """One trade. `conditions` are the venue's codes joined by commas, in its order."""

    kind: ClassVar[str] = "trades"

    price: float
    size: float
    exchange: str = ""
    id: int | None = None
    conditions: str = ""
    tape: str = ""
    taker_side: str = ""


class Quote(Record, frozen=True, gc=False, kw_only=True):
    """Best bid and ask as the venue sent them; a price of 0 means that the side is empty."""

    kind: ClassVar[str] = "quotes"

    bid_price: float
    bid_size: float
    bid_exchange: str = ""
    ask_price: float
    ask_size: float
    ask_exchange: str = ""
    conditions: str = ""
    tape: str = ""


class Bar(Record, frozen=True, gc=False, kw_only=True):
    """A bar; `event_ns` is the start of its interval. `span` is minute, updated or day."""

    kind: ClassVar[str] = "bars"

    span: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    trade_count: int | None = None
    vwap: float | None = None


class Book(Record, frozen=True, gc=False, kw_only=True):
    """One image of a book; both sides best first, `ask_prices[0]` is the best ask.

    Sides stand as the terminal delivered them, the asks from behind: never sorted or mended. The
    state was there at some moment in [before_ns, after_ns] and came after `previous_ns`, where the
    poll before began (None: there was none). `event_ns` equals `after_ns`: a polled book has no
    time of its own. `flags` are those of `mt5.BookFlag`; `poll` counts in a session, `unchanged`
    says how many polls since the image before had its rows. `types` and `whole_volumes` are
    None where they say nothing new: sells then buys of the types 1 and 2, and volumes that are the
    whole part of the ones shown; else they are of every row in the order delivered.
    """

    kind: ClassVar[str] = "books"

    before_ns: int
    after_ns: int
    previous_ns: int | None
    poll: int
    unchanged: int
    flags: int
    ask_prices: tuple[float, ...]
    ask_volumes: tuple[float, ...]
    bid_prices: tuple[float, ...]
    bid_volumes: tuple[float, ...]
    types: tuple[int, ...] | None = None
    whole_volumes: tuple[int, ...] | None = None


class Tick(Record, frozen=True, gc=False, kw_only=True):
    """One tick of a MetaTrader 5 terminal, its numbers untouched.

    `time_msc` is the broker's clock in milliseconds; `event_ns` is that less `offset_ms`, the
    broker's offset from UTC as it was known then. `flags` say what changed: 2 bid, 4 ask, 8 last,
    16 volume, 32 buy, 64 sell, and bits that the venue does not document.
    """

    kind: ClassVar[str] = "ticks"

    time_msc: int
    offset_ms: int
    bid: float
    ask: float
    last: float
    volume: int
    volume_real: float
    flags: int
    before_ns: int
    after_ns: int


class Correction(Record, frozen=True, gc=False, kw_only=True):
    """A trade corrected by the venue; `event_ns` is when it was corrected, not when it traded."""

    kind: ClassVar[str] = "corrections"

    exchange: str
    original_id: int
    original_price: float
    original_size: float
    original_conditions: str
    corrected_id: int
    corrected_price: float
    corrected_size: float
    corrected_conditions: str
    tape: str = ""


class Cancel(Record, frozen=True, gc=False, kw_only=True):
    """A trade cancelled (`C`) or declared an error (`E`) by the venue."""

    kind: ClassVar[str] = "cancels"

    exchange: str
    id: int
    price: float
    size: float
    action: str
    tape: str = ""


class Status(Record, frozen=True, gc=False, kw_only=True):
    """Trading of a symbol halted, resumed, …, in the codes and words of its tape."""

    kind: ClassVar[str] = "statuses"

    status_code: str
    status_message: str
    reason_code: str
    reason_message: str
    tape: str = ""


class Luld(Record, frozen=True, gc=False, kw_only=True):
    """The prices between which a stock may trade (limit up, limit down)."""

    kind: ClassVar[str] = "lulds"

    limit_up: float
    limit_down: float
    indicator: str
    tape: str = ""


class Imbalance(Record, frozen=True, gc=False, kw_only=True):
    """The indicative price during a halt."""

    kind: ClassVar[str] = "imbalances"

    price: float
    tape: str = ""


class CryptoBook(Record, frozen=True, gc=False, kw_only=True):
    """A change of a crypto order book; with `reset` it is the whole book, and replaces all.

    Else a level has this size from now on, 0 takes it away, and the levels not named stay. In the
    venue's order, which need not be sorted. `orderbook.OrderBook` puts them together.
    """

    kind: ClassVar[str] = "crypto_books"

    reset: bool
    bid_prices: tuple[float, ...]
    bid_sizes: tuple[float, ...]
    ask_prices: tuple[float, ...]
    ask_sizes: tuple[float, ...]


class News(Record, frozen=True, gc=False, kw_only=True):
    """An article, or an article again with a later `updated_ns`, which `event_ns` equals.

    `symbol` is the first of `symbols`, empty when there is none. `content` is HTML.
    """

    kind: ClassVar[str] = "news"

    id: int
    headline: str
    summary: str
    author: str
    source: str
    url: str
    content: str
    symbols: tuple[str, ...]
    created_ns: int
    updated_ns: int


class Gap(Record, frozen=True, gc=False, kw_only=True):
    """What the venue did not send us, or we were not there to hear.

    `event_ns` equals `from_ns`; `to_ns` is None while it lasts. `symbol` is empty when all of the
    feed is meant, and so is `channels`, which else names those channels of the symbol that are
    meant, in the config's words and joined by commas. `state` is open, healing, healed or
    unhealable, or suspect: the watchdog thinks so, nobody knows. `planned` says that we stopped on
    purpose.
    """

    kind: ClassVar[str] = "gaps"

    from_ns: int
    to_ns: int | None
    cause: str
    planned: bool = False
    state: str = "open"
    channels: str = ""


class Unknown(Record, frozen=True, gc=False, kw_only=True):
    """What no decoder could read, kept: `text` is the message, `reason` what was wrong with it.

    `text` is UTF-8 with bytes that are not UTF-8 replaced; the exact bytes are in the journal.
    """

    kind: ClassVar[str] = "unknown"

    reason: str
    text: str


class Decision(Record, frozen=True, gc=False, kw_only=True):
    """What a strategy returned, and for which record; `value` is JSON.

    `epoch`, `seq` and `index` are its own place in the strategy's journal; `trigger_…` that of the
    record it answers (seq -1 for the timer), whose feed, symbol and times it has. `number` counts
    from 0 in a run.
    """

    kind: ClassVar[str] = "decisions"

    decision: str
    number: int
    trigger: str
    trigger_epoch: int
    trigger_seq: int
    trigger_index: int
    value: str
