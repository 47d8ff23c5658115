"""What stands in the ledger's journal and in the journals of healing, as types; pure.

One grammar for who writes these entries and for all who read them: the ledger's process and the
healer write, `check`, the certificate and the healer read. What is not known here is no fault: an
entry of a later version reads as None.

    ledger/journal              Suspect, Damaged (SESSION), Counts, Identity, LateFeed (NOTE)
    feeds/<feed>.rest/journal   Started, Stopped, Healing, Page, Healed, Unhealable, Unsettled,
                                Compared, Failed (all SESSION); a Page is followed by its body
                                (TEXT)
"""

from typing import Annotated, TypeAlias, TypeVar

import msgspec

from ticktape.records import EntryKind, Position

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Place = tuple[int, int]
"""A position in a feed's journal: (epoch, offset)."""


def place_of(position: Position) -> Place:
    """The position as entries have it."""
    return position.epoch, position.offset


Kinds = dict[str, dict[str, int]]
"""Kind of row -> symbol -> how many."""


class GapSaid(msgspec.Struct, frozen=True):
    """A gap as an entry tells it; the fields are those of `records.Gap`."""

    from_ns: Int64
    to_ns: Int64 | None = None
    cause: str = ""
    symbol: str = ""
    channels: str = ""
    planned: bool = False
    state: str = "open"


class Suspect(msgspec.Struct, frozen=True, tag_field="event", tag="suspect"):
    """The watchdog raised an alarm, or, with the gap's `to_ns`, it ended.

    A gap is known by feed, symbol and `from_ns`.
    """

    feed: str
    gap: GapSaid


class Damaged(msgspec.Struct, frozen=True, tag_field="event", tag="damaged"):
    """Entries of a feed's journal are not there any more: what they held is missing like in a gap.

    `until` is where the first block behind them stands: each place is told once.
    """

    feed: str
    gap: GapSaid
    until: Place


class Counts(msgspec.Struct, frozen=True, tag_field="event", tag="counts"):
    """What a feed's journal brought in a minute of receive time, as rows decoded.

    Several entries of one minute add up. `until` is where in the feed's journal the next entry's
    rows begin, so that no row is ever counted twice. `dropped` are frames that came and never
    reached the journal, as it says itself.
    """

    feed: str
    minute_ns: Int64
    kinds: Kinds
    until: Place
    dropped: int = 0


class Identity(msgspec.Struct, frozen=True, tag_field="event", tag="identity"):
    """A stage has not what the journal brought up to `position`; only written where they differ.

    `received` is what the stage says by kind, `expected` what the ledger counted, both since the
    journal's beginning; only kinds that differ are named.
    """

    feed: str
    stage: str
    position: Place
    received: dict[str, int]
    expected: dict[str, int]


class LateFeed(msgspec.Struct, frozen=True, tag_field="event", tag="lag"):
    """What comes is late since `from_ns`, or, with `to_ns`, was: no gap, for it does come."""

    feed: str
    from_ns: Int64
    to_ns: Int64 | None
    words: str


LedgerEntry: TypeAlias = Suspect | Damaged | Counts | Identity | LateFeed


class Started(msgspec.Struct, frozen=True, tag_field="event", tag="started"):
    """A healer begins to write."""

    run: str = ""


class Stopped(msgspec.Struct, frozen=True, tag_field="event", tag="stopped"):
    """A healer ended as planned."""


class Healing(msgspec.Struct, frozen=True, tag_field="event", tag="healing"):
    """Work on a gap begins; `suspected` when nobody knows that something is missing in it."""

    gap: GapSaid
    suspected: bool = False


class Request(msgspec.Struct, frozen=True):
    """What REST was asked; never a key in it."""

    path: str
    query: dict[str, str] = {}


class Page(msgspec.Struct, frozen=True, tag_field="event", tag="page"):
    """The next entry of the block is the body that answered this request.

    `page` counts from 0 within one chain of requests.
    """

    request: Request
    page: int = 0
    rows_asked: int = 0


class Asked(msgspec.Struct, frozen=True):
    """What REST was asked for a gap, all pages to the end: times of the venue, both inclusive.

    `channels` has the symbols by channel, those of bars by the beginnings of their minutes; who was
    refused is not in it. `of_all` says that all symbols were subscribed: those that nobody had seen
    are not in it either.
    """

    from_ns: Int64
    to_ns: Int64
    channels: dict[str, list[str]]
    of_all: bool = False


class Healed(msgspec.Struct, frozen=True, tag_field="event", tag="healed"):
    """All that REST has of a gap is journaled; `words` say what was found."""

    gap: GapSaid
    words: str = ""
    asked: Asked | None = None


class Unhealable(msgspec.Struct, frozen=True, tag_field="event", tag="unhealable"):
    """Nobody has what is missing in a gap; `words` say why."""

    gap: GapSaid
    words: str = ""
    asked: Asked | None = None


class Unsettled(msgspec.Struct, frozen=True, tag_field="event", tag="unsettled"):
    """REST cannot say whether a suspicion is right: the gap's state stays `suspect`."""

    gap: GapSaid
    words: str = ""
    asked: Asked | None = None


class Compared(msgspec.Struct, frozen=True, tag_field="event", tag="compared"):
    """REST was asked for a window though no gap was there; the fields are those of `Asked`."""

    from_ns: Int64
    to_ns: Int64
    channels: dict[str, list[str]]


class Failed(msgspec.Struct, frozen=True, tag_field="event", tag="failed"):
    """A request in vain, to be tried again; `status` is HTTP's, 0 when there was no answer."""

    status: int = 0
    words: str = ""


End: TypeAlias = Healed | Unhealable | Unsettled
"""How the work on a gap ends."""
RestEntry: TypeAlias = Started | Stopped | Healing | Page | End | Compared | Failed

encode_entry = msgspec.json.Encoder().encode
"""The JSON of an entry; its kind of entry is that of `kind_of`."""

_LEDGER: msgspec.json.Decoder[LedgerEntry] = msgspec.json.Decoder(LedgerEntry)
_REST: msgspec.json.Decoder[RestEntry] = msgspec.json.Decoder(RestEntry)
_Made = TypeVar("_Made")
_OURS = (EntryKind.SESSION, EntryKind.NOTE)


def kind_of(entry: LedgerEntry | RestEntry) -> EntryKind:
    """Which kind of journal entry this is written as."""
    is_note = isinstance(entry, Counts | Identity | LateFeed)
    return EntryKind.NOTE if is_note else EntryKind.SESSION


def read_ledger_entry(kind: int, payload: bytes) -> LedgerEntry | None:
    """Read an entry of the ledger's journal; None when it is none of these."""
    return _read(_LEDGER, kind, payload)


def read_rest_entry(kind: int, payload: bytes) -> RestEntry | None:
    """Read an entry of our own in a journal of healing; None for a body and when it is no such."""
    return _read(_REST, kind, payload)


def _read(decoder: "msgspec.json.Decoder[_Made]", kind: int, payload: bytes) -> "_Made | None":
    if kind not in _OURS:
        return None
    try:
        return decoder.decode(payload)
    except (ValueError, RecursionError):
        return None
