"""Journal blocks -> records, one decoder per venue; pure, and never raising for what a venue sends.

    alpaca.py             the v2 streams            alpaca_v1.py    the legacy stream
    alpaca_messages.py    their messages, key by key, in JSON and MessagePack
    alpaca_prices.py      trades, quotes, bars, crypto books    alpaca_notices.py    all others
    alpaca_rest.py        their history, page by page
    mt5.py                a terminal's images and ticks    books.py  one image, and many
    projection.py         one wire decoding, two projections: records and tables
    frames.py             a frame's records, all at once or one by one
    session.py            gaps out of the entries of our own    holes.py  and where blocks lack
    instants.py  packed.py  conditions.py  columns.py  origin.py    the parts of a row

A package of its own names a `Wire`, or a `Decoder`, in the entry-point group `ticktape.decoders`.
No I/O and no clock in here: the same bytes give the same records, live, in replay and in `check`.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import pyarrow as pa

from ticktape.config.packages import DECODERS, load, unusable
from ticktape.decoders.alpaca import AlpacaWire
from ticktape.decoders.alpaca_rest import RestProjection
from ticktape.decoders.alpaca_v1 import AlpacaV1Wire
from ticktape.decoders.mt5 import Mt5Decoder
from ticktape.decoders.projection import BlockLike, DecodedCounts, Projection, Wire
from ticktape.records import Record

__all__ = ["BlockLike", "DecodedCounts", "Decoder", "decoder_for"]


class Decoder(Protocol):
    """Turns one feed's blocks into records or tables; `counts` are those of the last call."""

    feed: str

    @property
    def counts(self) -> DecodedCounts:
        """What the last call saw."""

    def decode(self, block: BlockLike) -> list[Record]:
        """One block's records, in the journal's order."""

    def tables(self, blocks: Iterable[BlockLike]) -> dict[str, pa.Table]:
        """A table per kind that has rows, in the journal's order."""


_WIRES: dict[str, Callable[[], Wire]] = {"alpaca": AlpacaWire, "alpaca_v1": AlpacaV1Wire}
_OWN: dict[str, Callable[[str], Decoder]] = {"alpaca_rest": RestProjection, "mt5": Mt5Decoder}


def decoder_for(kind: str, feed: str, *, is_brief: bool = False) -> Decoder:
    """Make the decoder of a feed of this kind; each feed and thread needs its own.

    With `is_brief` its tables may lack columns at which the ledger does not look.

    Raises:
        ConfigError: no decoder has this name, here or in an installed package that can be used.
    """
    if kind in _OWN:
        return _OWN[kind](feed)
    if kind in _WIRES:
        return Projection(feed, _WIRES[kind](), is_brief=is_brief)
    return _packaged(kind, feed)


def _packaged(kind: str, feed: str) -> Decoder:
    """The decoder that a package brings: its class is a Decoder, or that of a Wire."""
    named = load(DECODERS, kind)
    try:
        made: Decoder = named(feed) if hasattr(named, "decode") else Projection(feed, named())
    except Exception as error:
        raise unusable(DECODERS, kind, error) from error
    return made
