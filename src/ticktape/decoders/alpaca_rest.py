"""Alpaca's REST pages: trades, quotes, minute bars and news of the past, as rows of witness `rest`.

A page is one text entry, the body as received; it names its kind and symbols itself, so that no
page needs another. A row is a map with the stream's keys, less type and symbol. `index` is a row's
place in its page, from 0, over all symbols. Of a trade that the venue has taken back (`u` is
`canceled` or `incorrect`) a row of `cancels` is made besides, behind all rows of the page, with the
trade's own time: REST does not say when. The replacement of a corrected trade is a trade like any.

Source: reference pages of docs.alpaca.markets, "Historical stock data", "Historical crypto data",
"Historical option data", "News".
"""

from collections.abc import Iterable, Iterator
from types import GenericAlias
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from ticktape.decoders.alpaca_messages import (
    CancelWire,
    MinuteBarWire,
    NewsWire,
    QuoteWire,
    TradeWire,
)
from ticktape.decoders.alpaca_notices import NoticeRows
from ticktape.decoders.alpaca_prices import PriceRows
from ticktape.decoders.conditions import Conditions
from ticktape.decoders.frames import unreadable
from ticktape.decoders.instants import InstantParser
from ticktape.decoders.projection import BlockLike, Projection, Reader, Shape
from ticktape.records import Record, Witness

_ACTIONS = {"canceled": "C", "incorrect": "E"}  # `u` -> the stream's word for it


class TradeRow(TradeWire[str], kw_only=True, gc=False):
    """As the stream's; u: canceled, incorrect (it was corrected), corrected (the replacement)."""

    S: str = ""
    u: str | None = None


class QuoteRow(QuoteWire[str], kw_only=True, gc=False):
    """As the stream's."""

    S: str = ""


class BarRow(MinuteBarWire[str], kw_only=True, gc=False):
    """As the stream's; the timeframe stands in the request alone, and is a minute."""

    S: str = ""


class Article(NewsWire[str], gc=False):
    """As the stream's; its images are not kept in rows."""


class TakenBack(CancelWire[str], gc=False):
    """Made here of a trade that is flagged."""


_ROWS: dict[str, Any] = {
    "trades": TradeRow,
    "quotes": QuoteRow,
    "bars": BarRow,
    "news": Article,
}


def _page_type(name: str, row_types: dict[str, Any]) -> Any:  # noqa: ANN401 - a type made here
    """The type of a page: per kind a list by symbol, or the list of the symbol that it names."""
    fields: list[Any] = [("symbol", str | None, None)]
    for kind, row in row_types.items():
        one: Any = GenericAlias(list, (row,))
        lists = one if kind == "news" else one | GenericAlias(dict, (str, one | None))
        fields.append((kind, lists | None | msgspec.UnsetType, msgspec.UNSET))
    return msgspec.defstruct(name, fields)


_read_page = msgspec.json.Decoder(_page_type("Page", _ROWS)).decode
_split_page = msgspec.json.Decoder(_page_type("Pieces", dict.fromkeys(_ROWS, msgspec.Raw))).decode
_read_row = {kind: msgspec.json.Decoder(row).decode for kind, row in _ROWS.items()}


class _Piece(NamedTuple):
    """One row of a page as text, with what the page says of it."""

    kind: str
    symbol: str | None
    raw: bytes


class RestWire:
    """The grammar of pages; `shapes` are bound to this instance's memories."""

    controls: frozenset[type] = frozenset()

    def __init__(self) -> None:
        self.reads: tuple[Reader, Reader] = (self._read, self._read)
        self._instant = InstantParser().parse
        self._conditions = Conditions()
        prices = PriceRows(self._instant, self._conditions).shapes
        notices = NoticeRows(self._instant, self._conditions).shapes
        self.shapes: dict[type, Shape] = {
            TradeRow: prices["t"],
            QuoteRow: prices["q"],
            BarRow: prices["b"],
            Article: notices["n"],
            TakenBack: notices["x"],
        }

    def _read(self, payload: bytes) -> list[Any]:
        found: list[Any] = []
        for _, symbol, rows in _lists(_read_page(payload)):
            if symbol is not None:
                for row in rows:
                    row.S = symbol
            found += rows
        return found + self._taken_back(found)

    def salvage(self, payload: bytes, reason: str) -> list[Any]:
        """Read a page row by row; one Unreadable for a body that is no page."""
        try:
            pieces = list(_pieces(payload))
        except (ValueError, RecursionError):
            return [unreadable(reason, payload)]
        found = [_read_piece(piece) for piece in pieces]
        return found + self._taken_back(found)

    def text(self, payload: bytes, index: int) -> bytes:
        """Cut one row out of a page."""
        try:
            return list(_pieces(payload))[index].raw
        except (ValueError, RecursionError, IndexError):
            return payload

    def _taken_back(self, rows: list[Any]) -> list[TakenBack]:
        """Make a cancel of each flagged trade that becomes a row itself."""
        found = []
        for row in rows:
            action = _ACTIONS.get(row.u or "") if row.__class__ is TradeRow else None
            # A cancel without an id would name nothing.
            if action is not None and row.i is not None and self._is_whole(row):
                found.append(
                    TakenBack(
                        S=row.S, t=row.t, i=row.i, p=row.p, s=row.s, x=row.x, a=action, z=row.z
                    )
                )
        return found

    def _is_whole(self, row: TradeRow) -> bool:
        try:
            self._instant(row.t)
            self._conditions[bytes(row.c)]
        except ValueError:
            return False
        return True


def _lists(page: Any) -> Iterator[tuple[str, str | None, list[Any]]]:  # noqa: ANN401
    """Give kind, symbol and rows of each list in a page, in the order of `index`.

    Rows of None name their symbols themselves.

    Raises:
        ValueError: it has no list of a kind known here, or rows of no symbol.
    """
    kinds = [kind for kind in _ROWS if getattr(page, kind) is not msgspec.UNSET]
    if not kinds:
        raise ValueError(f"no page: it has none of {', '.join(_ROWS)}")
    for kind in kinds:
        rows = getattr(page, kind) or []
        if isinstance(rows, dict):
            yield from ((kind, symbol, own or []) for symbol, own in rows.items())
        elif kind == "news":
            yield kind, None, rows
        elif rows and page.symbol is None:
            raise ValueError(f"{kind} of no symbol")
        else:
            yield kind, page.symbol, rows


def _pieces(payload: bytes) -> Iterator[_Piece]:
    for kind, symbol, raws in _lists(_split_page(payload)):
        yield from (_Piece(kind, symbol, bytes(raw)) for raw in raws)


def _read_piece(piece: _Piece) -> object:
    try:
        row = _read_row[piece.kind](piece.raw)
    except (ValueError, RecursionError) as error:
        return unreadable(str(error), piece.raw)
    if piece.symbol is not None:
        row.S = piece.symbol
    return row


class RestProjection(Projection):
    """Decodes the journal of what REST said of a feed: every row has the witness `rest`."""

    def __init__(self, feed: str) -> None:
        super().__init__(feed, RestWire())

    def decode(self, block: BlockLike) -> list[Record]:
        """As Projection; gaps whose state the healer told are among them."""
        return [
            msgspec.structs.replace(record, witness=Witness.REST.value)
            for record in super().decode(block)
        ]

    def tables(self, blocks: Iterable[BlockLike]) -> dict[str, pa.Table]:
        """As Projection, and equal to the records of `decode`, field for field."""
        return {kind: _as_rest(table) for kind, table in super().tables(blocks).items()}


def _as_rest(table: pa.Table) -> pa.Table:
    place = table.schema.get_field_index("witness")
    witness = pa.repeat(Witness.REST.value, table.num_rows)
    return table.set_column(place, table.schema.field(place), witness)
