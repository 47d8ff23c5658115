"""Rows -> the JSON objects of a page: the stream's messages in REST's own order of keys.

Neither the type nor the symbol stands in a row. News have a list of images beside, which the stream
does not send: it is empty here.

Source: examples of the venue's OpenAPI description, and a real page of trades.
"""

from typing import Any

import pyarrow as pa

from ticktape.sim.families import CRYPTO, NEWS, OPTIONS, STOCKS, Family
from ticktape.sim.jsontext import messages
from ticktape.sim.layouts import LAYOUTS, Layout

_BAR = "t o h l c v n vw"
_KEYS: dict[tuple[Family, str], str] = {
    (STOCKS, "trades"): "t x p s c i z",
    (STOCKS, "quotes"): "t ax ap as bx bp bs c z",
    (STOCKS, "bars"): _BAR,
    (CRYPTO, "trades"): "t p s tks i",
    (CRYPTO, "quotes"): "t bp bs ap as",
    (CRYPTO, "bars"): _BAR,
    (OPTIONS, "trades"): "t x p s c",
    (OPTIONS, "quotes"): "t ax ap as bx bp bs c",
    (NEWS, "news"): "id headline author created_at updated_at summary content url symbols source",
}


def _layout(family: Family, kind: str, keys: str) -> Layout:
    fields = {field.key: field for field in LAYOUTS[family][kind]}
    assert {"T", "S", *keys.split()} >= fields.keys(), "a key of the stream would be lost"
    return tuple(fields[key] for key in keys.split())


_LAYOUTS = {
    (family.name, kind): _layout(family, kind, keys) for (family, kind), keys in _KEYS.items()
}


def row_texts(family: str, kind: str, rows: pa.Table) -> list[str]:
    """Return the JSON object of each row."""
    texts: Any = messages(_LAYOUTS[family, kind], rows)
    found: list[str] = texts.to_pylist()
    return [f'{text[:-1]},"images":[]}}' for text in found] if kind == "news" else found
