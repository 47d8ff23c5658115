"""News as REST shows it: each article once, as it stands by now, the latest change first.

A page token is `unix_ns|id` of the last article (reference/alpaca.md §4.1).
"""

import base64
import binascii
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ticktape.sim.rest.answers import RequestRefused
from ticktape.sim.rest.past import Shown
from ticktape.sim.rest.rowtexts import row_texts

Place = tuple[int, int]
"""When an article last changed, and its id: the order of articles."""


class WantedNews(NamedTuple):
    """What a query asks for; without `content` articles come with an empty one."""

    symbols: tuple[str, ...]
    start_ns: int | None
    end_ns: int | None
    descending: bool
    content: bool
    contentless: bool
    token: str


class NewsPage(NamedTuple):
    """JSON objects of articles; `token` is None at the end."""

    articles: list[str]
    token: str | None


def news_page(shown: Shown, wanted: WantedNews, limit: int) -> NewsPage:
    """Return the next page, of at most `limit` articles.

    Raises:
        RequestRefused: the page token is none.
    """
    after = _read(wanted.token) if wanted.token else None
    table = shown.past.tape.tables.get("news")
    if table is None:
        return NewsPage([], None)
    happened = int(np.searchsorted(shown.past.tape.places("news"), shown.rows))
    newest: dict[int, dict[str, Any]] = {}
    for row in table.slice(0, happened).to_pylist():
        newest[row["id"]] = row  # a later version replaces the one before it
    found = sorted(
        (row for row in newest.values() if _fits(row, wanted)),
        key=_place,
        reverse=wanted.descending,
    )
    if after is not None:
        found = [
            row
            for row in found
            if (_place(row) < after if wanted.descending else _place(row) > after)
        ]
    page = found[:limit]
    token = _write(_place(page[-1])) if len(found) > limit else None
    if not wanted.content:
        page = [{**row, "content": ""} for row in page]
    return NewsPage(row_texts("news", "news", pa.Table.from_pylist(page, table.schema)), token)


def _fits(row: dict[str, Any], wanted: WantedNews) -> bool:
    if wanted.symbols and not set(wanted.symbols) & set(row["symbols"] or ()):
        return False
    if not wanted.contentless and not row["content"]:
        return False
    updated_ns = row["updated_ns"]
    return (wanted.start_ns is None or updated_ns >= wanted.start_ns) and (
        wanted.end_ns is None or updated_ns <= wanted.end_ns
    )


def _place(row: dict[str, Any]) -> Place:
    return row["updated_ns"], row["id"]


def _write(place: Place) -> str:
    return base64.b64encode(f"{place[0]}|{place[1]}".encode()).decode()


def _read(token: str) -> Place:
    try:
        updated_ns, number = base64.b64decode(token, validate=True).decode().split("|")
        return int(updated_ns), int(number)
    except (binascii.Error, ValueError) as error:
        raise RequestRefused(400, "invalid page_token") from error
