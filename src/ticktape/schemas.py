"""The columns of each table as Arrow schemas; the same words as `records`, for rows in bulk.

Times are int64 nanoseconds and not timestamps, because Delta keeps microseconds only. Sorted by
nothing: rows stand in the order in which they were journaled.
"""

import pyarrow as pa

_ORIGIN: list[tuple[str, pa.DataType]] = [
    ("feed", pa.string()),
    ("symbol", pa.string()),
    ("event_ns", pa.int64()),
    ("recv_ns", pa.int64()),
    ("witness", pa.string()),
    ("epoch", pa.int64()),
    ("seq", pa.int64()),
    ("index", pa.int32()),
]

_OWN: dict[str, list[tuple[str, pa.DataType]]] = {
    "trades": [
        ("price", pa.float64()),
        ("size", pa.float64()),
        ("exchange", pa.string()),
        ("id", pa.int64()),
        ("conditions", pa.string()),
        ("tape", pa.string()),
        ("taker_side", pa.string()),
    ],
    "quotes": [
        ("bid_price", pa.float64()),
        ("bid_size", pa.float64()),
        ("bid_exchange", pa.string()),
        ("ask_price", pa.float64()),
        ("ask_size", pa.float64()),
        ("ask_exchange", pa.string()),
        ("conditions", pa.string()),
        ("tape", pa.string()),
    ],
    "bars": [
        ("span", pa.string()),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("close", pa.float64()),
        ("volume", pa.float64()),
        ("trade_count", pa.int64()),
        ("vwap", pa.float64()),
    ],
    "books": [
        ("before_ns", pa.int64()),
        ("after_ns", pa.int64()),
        ("previous_ns", pa.int64()),
        ("poll", pa.int64()),
        ("unchanged", pa.int64()),
        ("flags", pa.int32()),
        ("ask_prices", pa.list_(pa.float64())),
        ("ask_volumes", pa.list_(pa.float64())),
        ("bid_prices", pa.list_(pa.float64())),
        ("bid_volumes", pa.list_(pa.float64())),
        ("types", pa.list_(pa.int8())),
        ("whole_volumes", pa.list_(pa.int64())),
    ],
    "ticks": [
        ("time_msc", pa.int64()),
        ("offset_ms", pa.int32()),
        ("bid", pa.float64()),
        ("ask", pa.float64()),
        ("last", pa.float64()),
        ("volume", pa.int64()),
        ("volume_real", pa.float64()),
        ("flags", pa.int64()),
        ("before_ns", pa.int64()),
        ("after_ns", pa.int64()),
    ],
    "corrections": [
        ("exchange", pa.string()),
        ("original_id", pa.int64()),
        ("original_price", pa.float64()),
        ("original_size", pa.float64()),
        ("original_conditions", pa.string()),
        ("corrected_id", pa.int64()),
        ("corrected_price", pa.float64()),
        ("corrected_size", pa.float64()),
        ("corrected_conditions", pa.string()),
        ("tape", pa.string()),
    ],
    "cancels": [
        ("exchange", pa.string()),
        ("id", pa.int64()),
        ("price", pa.float64()),
        ("size", pa.float64()),
        ("action", pa.string()),
        ("tape", pa.string()),
    ],
    "statuses": [
        ("status_code", pa.string()),
        ("status_message", pa.string()),
        ("reason_code", pa.string()),
        ("reason_message", pa.string()),
        ("tape", pa.string()),
    ],
    "lulds": [
        ("limit_up", pa.float64()),
        ("limit_down", pa.float64()),
        ("indicator", pa.string()),
        ("tape", pa.string()),
    ],
    "imbalances": [
        ("price", pa.float64()),
        ("tape", pa.string()),
    ],
    "crypto_books": [
        ("reset", pa.bool_()),
        ("bid_prices", pa.list_(pa.float64())),
        ("bid_sizes", pa.list_(pa.float64())),
        ("ask_prices", pa.list_(pa.float64())),
        ("ask_sizes", pa.list_(pa.float64())),
    ],
    "news": [
        ("id", pa.int64()),
        ("headline", pa.string()),
        ("summary", pa.string()),
        ("author", pa.string()),
        ("source", pa.string()),
        ("url", pa.string()),
        ("content", pa.string()),
        ("symbols", pa.list_(pa.string())),
        ("created_ns", pa.int64()),
        ("updated_ns", pa.int64()),
    ],
    "gaps": [
        ("from_ns", pa.int64()),
        ("to_ns", pa.int64()),
        ("cause", pa.string()),
        ("planned", pa.bool_()),
        ("state", pa.string()),
        ("channels", pa.string()),
    ],
    "decisions": [
        ("decision", pa.string()),
        ("number", pa.int64()),
        ("trigger", pa.string()),
        ("trigger_epoch", pa.int64()),
        ("trigger_seq", pa.int64()),
        ("trigger_index", pa.int32()),
        ("value", pa.string()),
    ],
    "unknown": [
        ("reason", pa.string()),
        ("text", pa.string()),
    ],
}

KINDS: dict[str, pa.Schema] = {kind: pa.schema(_ORIGIN + own) for kind, own in _OWN.items()}
"""Kind of table -> its columns, without the partition column `day`."""

MARKET_KINDS = (
    *("trades", "quotes", "bars", "books", "ticks", "corrections", "cancels"),
    *("statuses", "lulds", "imbalances", "crypto_books", "news", "unknown"),
)
"""Kinds made of what the venue sent: the ones that `received` counts."""
