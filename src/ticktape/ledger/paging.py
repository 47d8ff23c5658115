"""One question to REST, cut into requests, and how far each has come through its pages: pure.

A page may hold fewer rows than asked for, or none: only an answer without a token is the last one.
What a chain knows stands in the journal as well, so that it goes on after a crash where it was.

Source: reference of Alpaca's historical data (docs.alpaca.markets, seen 2026-08).
"""

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

import msgspec

from ticktape.errors import DecodeError
from ticktape.ledger.entries import Page, Request

ROWS_ASKED = 10_000  # the most that the venue gives on a page, over all symbols
_SYMBOLS_CHARS = 1_500  # of one request; with the rest of it a URL stays under 2,000
_TOKEN = "page_token"


class Chain(msgspec.Struct):
    """One request and its pages: `token` asks for the next one, "" for the first."""

    path: str
    query: dict[str, str]
    pages: int = 0
    rows: int = 0
    token: str = ""
    done: bool = False

    @property
    def key(self) -> str:
        """What tells requests apart, whichever page of them is asked for."""
        return key_of(self.path, self.query)

    @property
    def channel(self) -> str:
        """Whose rows it asks for."""
        return self.path.rpartition("/")[2]

    @property
    def symbols(self) -> list[str]:
        """What it asks for."""
        return self.query["symbols"].split(",")

    def request(self) -> Request:
        """What to ask next."""
        more = {_TOKEN: self.token} if self.token else {}
        return Request(self.path, self.query | more)

    def page(self) -> Page:
        """The entry to write before the body that answers `request`."""
        return Page(self.request(), self.pages, ROWS_ASKED)

    def take(self, body: bytes) -> None:
        """Go on behind a page that the journal has.

        Raises:
            DecodeError: it is no page; the chain stands where it was.
        """
        rows, token = read_page(body)
        self.rows += rows
        self.pages += 1
        self.token = token
        self.done = not token

    def halves(self) -> "list[Chain]":
        """Two requests for its symbols, or none when it has but one: somebody is refused."""
        symbols = self.symbols
        middle = len(symbols) // 2
        return [
            Chain(self.path, self.query | {"symbols": ",".join(half)})
            for half in (symbols[:middle], symbols[middle:])
            if len(symbols) > 1
        ]

    def restart(self) -> None:
        """Begin anew: the venue does not know the token any more, or pages were lost."""
        self.pages = self.rows = 0
        self.token, self.done = "", False


def key_of(path: str, query: Mapping[str, str]) -> str:
    """What tells requests apart: all of it but the token."""
    return f"{path}?{urlencode(sorted((k, v) for k, v in query.items() if k != _TOKEN))}"


def chain_of(page: Page) -> Chain:
    """The chain that a page is of, as it was before its first one."""
    query = {name: value for name, value in page.request.query.items() if name != _TOKEN}
    return Chain(page.request.path, query)


def url_of(base: str, request: Request) -> str:
    """The address of a request; commas and times stay readable."""
    return f"{base}{request.path}?{urlencode(request.query, safe=',:/')}"


class _Pages(msgspec.Struct):
    next_page_token: str | None


_token = msgspec.json.Decoder(_Pages)
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])
_lists = msgspec.json.Decoder(dict[str, list[msgspec.Raw] | None] | None)


def read_page(body: bytes) -> tuple[int, str]:
    """How many rows a page has, and the token for the next; "" when it is the last.

    Raises:
        DecodeError: it is no page.
    """
    try:
        token = _token.decode(body).next_page_token
        parts = _parts.decode(body)
        lists = [_lists.decode(raw) or {} for name, raw in parts.items() if name in _KINDS]
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"REST's answer is no page: {error}") from error
    if not lists:
        raise DecodeError("REST's answer is no page: it has neither trades, quotes nor bars")
    return sum(len(rows or ()) for each in lists for rows in each.values()), token or ""


_KINDS = frozenset({"trades", "quotes", "bars"})


def grouped(symbols: Iterable[str]) -> list[list[str]]:
    """The symbols, sorted and each once, in groups that fit into the URL of a request."""
    groups: list[list[str]] = []
    size = _SYMBOLS_CHARS
    for symbol in sorted(set(symbols)):
        if size + len(symbol) + 1 > _SYMBOLS_CHARS:
            groups.append([])
            size = 0
        size += len(symbol) + 1
        groups[-1].append(symbol)
    return groups
