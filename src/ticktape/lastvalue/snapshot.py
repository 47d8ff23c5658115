"""All last values at once: cells' bytes -> NumPy structured arrays -> an Arrow table.

Columns are the words of `records` with the kind before them; a value that is not there is null and
never 0.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ticktape.lastvalue.layout import (
    EMPTY,
    NO_ASK,
    NO_BID,
    NO_ID,
    NO_PREVIOUS,
    NO_VWAP,
    PAYLOAD_BYTES,
    VALID,
    CellKind,
)

_ORIGIN: Final[list[tuple[str, str]]] = [
    ("feed", "S16"),
    ("symbol", "S32"),
    ("kind", "u1"),
    ("flags", "u1"),
    ("unused", "V2"),
    ("index", "i4"),
    ("event_ns", "i8"),
    ("recv_ns", "i8"),
    ("epoch", "i8"),
    ("seq", "i8"),
    ("witness", "S8"),
]
_BAR: Final[list[tuple[str, str]]] = [
    ("open", "f8"),
    ("high", "f8"),
    ("low", "f8"),
    ("close", "f8"),
    ("volume", "f8"),
    ("trade_count", "i8"),
    ("vwap", "f8"),
    ("span", "S8"),
    ("rest", "V80"),
]

DTYPES: Final[dict[int, "np.dtype[np.void]"]] = {
    CellKind.TRADE: np.dtype(
        [
            *_ORIGIN,
            ("price", "f8"),
            ("size", "f8"),
            ("id", "i8"),
            ("exchange", "S16"),
            ("tape", "S8"),
            ("taker_side", "S8"),
            ("conditions", "S64"),
            ("rest", "V24"),
        ]
    ),
    CellKind.QUOTE: np.dtype(
        [
            *_ORIGIN,
            ("bid_price", "f8"),
            ("bid_size", "f8"),
            ("ask_price", "f8"),
            ("ask_size", "f8"),
            ("bid_exchange", "S16"),
            ("ask_exchange", "S16"),
            ("tape", "S8"),
            ("conditions", "S64"),
            ("rest", "V8"),
        ]
    ),
    CellKind.BAR: np.dtype([*_ORIGIN, *_BAR]),
    CellKind.DAY: np.dtype([*_ORIGIN, *_BAR]),
    CellKind.BOOK: np.dtype(
        [
            *_ORIGIN,
            ("bid_price", "f8"),
            ("bid_volume", "f8"),
            ("ask_price", "f8"),
            ("ask_volume", "f8"),
            ("before_ns", "i8"),
            ("after_ns", "i8"),
            ("previous_ns", "i8"),
            ("poll", "i8"),
            ("unchanged", "i8"),
            ("book_flags", "i8"),
            ("bid_levels", "i4"),
            ("ask_levels", "i4"),
            ("slot", "i4"),
            ("rest", "V52"),
        ]
    ),
    CellKind.TICK: np.dtype(
        [
            *_ORIGIN,
            ("time_msc", "i8"),
            ("offset_ms", "i8"),
            ("bid", "f8"),
            ("ask", "f8"),
            ("last", "f8"),
            ("volume", "i8"),
            ("volume_real", "f8"),
            ("tick_flags", "i8"),
            ("before_ns", "i8"),
            ("after_ns", "i8"),
            ("rest", "V64"),
        ]
    ),
    CellKind.ORDER_BOOK: np.dtype(
        [
            *_ORIGIN[:-1],
            ("unused_witness", "V8"),  # several records made it
            ("bid_price", "f8"),
            ("bid_size", "f8"),
            ("ask_price", "f8"),
            ("ask_size", "f8"),
            ("invalid_since_ns", "i8"),
            ("bid_levels", "i4"),
            ("ask_levels", "i4"),
            ("is_valid", "?"),
            ("unused_middle", "V39"),
            ("slot", "i4"),
            ("rest", "V52"),
        ]
    ),
    CellKind.STATUS: np.dtype(
        [
            *_ORIGIN,
            ("status_code", "S8"),
            ("status_message", "S40"),
            ("reason_code", "S8"),
            ("reason_message", "S80"),
            ("tape", "S8"),
        ]
    ),
}
assert all(dtype.itemsize == PAYLOAD_BYTES for dtype in DTYPES.values())

_PREFIXES: Final = {
    CellKind.TRADE: "trade_",
    CellKind.QUOTE: "quote_",
    CellKind.BAR: "bar_",
    CellKind.DAY: "day_",
    CellKind.BOOK: "book_",
    CellKind.TICK: "tick_",
    CellKind.ORDER_BOOK: "order_book_",
    CellKind.STATUS: "status_",
}
_NOT_COLUMNS: Final = ("feed", "symbol", "kind", "flags", "slot", "rest")
# Cells of other kinds never have these flags, so that a quote's `bid_price` is not meant.
_NULL_FLAGS: Final = {
    "id": NO_ID,
    "trade_count": NO_ID,
    "vwap": NO_VWAP,
    "previous_ns": NO_PREVIOUS,
    "bid_price": NO_BID,
    "bid_volume": NO_BID,
    "ask_price": NO_ASK,
    "ask_volume": NO_ASK,
    "bid_size": NO_BID,
    "ask_size": NO_ASK,
    "invalid_since_ns": VALID,
}


def _columns() -> list[tuple[str, CellKind, str, pa.DataType]]:
    columns = []
    for kind, prefix in _PREFIXES.items():
        dtype = DTYPES[kind]
        for name in dtype.names or ():
            if name not in _NOT_COLUMNS and not name.startswith("unused"):
                text = dtype[name].kind == "S"
                arrow = pa.string() if text else pa.from_numpy_dtype(dtype[name])
                columns.append((_column_name(kind, prefix, name), kind, name, arrow))
    return columns


def _column_name(kind: CellKind, prefix: str, name: str) -> str:
    is_quotes_own = kind == CellKind.QUOTE and name.startswith(("bid_", "ask_"))
    return name if is_quotes_own or name.startswith(prefix) else prefix + name


_COLUMNS: Final = _columns()
SCHEMA: Final = pa.schema(
    [
        ("feed", pa.string()),
        ("symbol", pa.string()),
        *((name, arrow) for name, _, _, arrow in _COLUMNS),
    ]
)
"""feed, symbol, then trade_…, bid_…, ask_…, quote_…, bar_…, …, order_book_…, status_…: the fields.

Fields are those of the records; of a book those of its `BookTop`, of an order book those of its
`OrderBookImage`, with the best of each side.
"""


def array_of(payloads: dict[int, dict[int, bytes]], kind: int) -> npt.NDArray[np.void]:
    """The cells of one kind as rows of `DTYPES[kind]`, on memory of their own."""
    return np.frombuffer(b"".join(payloads.get(kind, {}).values()), dtype=DTYPES[kind])


def table_of(keys: tuple[tuple[str, str], ...], payloads: dict[int, dict[int, bytes]]) -> pa.Table:
    """A row per key; `payloads` holds for each kind the cells by row."""
    count = len(keys)
    cells = {kind: array_of(payloads, kind) for kind in DTYPES}
    rows = {kind: np.fromiter(payloads.get(kind, {}), np.intp) for kind in DTYPES}
    arrays: list[pa.Array[Any]] = [
        pa.array([feed for feed, _ in keys], pa.string()),
        pa.array([symbol for _, symbol in keys], pa.string()),
    ]
    for _, kind, name, arrow in _COLUMNS:
        arrays.append(_column(cells[kind], rows[kind], name, arrow, count))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _column(
    cells: npt.NDArray[np.void],
    rows: npt.NDArray[np.intp],
    name: str,
    arrow: pa.DataType,
    count: int,
) -> "pa.Array[Any]":
    is_null = np.ones(count, dtype=bool)
    is_null[rows] = (cells["flags"] & (_NULL_FLAGS.get(name, 0) | EMPTY)) != 0
    if pa.types.is_string(arrow):
        texts: list[str | None] = [None] * count
        for row, raw in zip(rows.tolist(), cells[name].tolist(), strict=True):
            texts[row] = raw.decode(errors="ignore")
        return pa.array(texts, arrow)
    values = np.zeros(count, dtype=cells[name].dtype)
    values[rows] = cells[name]
    return pa.array(values, arrow, mask=is_null)
