"""Page tokens: the row that a page ended with, as the venue writes it in base64.

    stock trades   SYMBOL|2022-01-03T17:00:00.029591476Z|Q|09223372036854849642    id + 2^63
    stock quotes   SYMBOL|2022-01-03T09:00:00.028294451Z|237644C8                  a hash of the row
    bars           SYMBOL|M|2022-01-03T09:00:00.000000000Z                         D: of a day
    crypto trades  SYMBOL|2022-01-03T09:00:00.028294451Z|09223372036885231097
    crypto quotes  SYMBOL|1641200400028294451|29791|0.5|29792|1                    2^63-1-ns: from
    option trades  SYMBOL|1641200400028294451|N                                    latest to first

A token names a row and not a place, so that it works in another process and after rows came in
between. Rows that are the same in all that a token says are told apart by their number among
them, which the venue does not do: its clients would get such rows twice or never.

Source: reference/alpaca.md §4.1, read off real tokens; which hash it is, is not known.
"""

import base64
import binascii
import zlib
from typing import NamedTuple

import pyarrow as pa

from ticktape.clock import iso_utc
from ticktape.sim.families import CRYPTO, OPTIONS
from ticktape.sim.rest.answers import RequestRefused
from ticktape.sim.rest.instants import parse_instant
from ticktape.sim.rest.rowtexts import row_texts

ID_ZERO = 1 << 63
NS_MAX = (1 << 63) - 1
BAR_LETTERS = {"minute": "M", "day": "D"}


class Cursor(NamedTuple):
    """The last row of a page: `tie` is what tells it from others of its time, then `number`."""

    symbol: str
    event_ns: int
    tie: str
    number: int


class Tokens:
    """The tokens of one family's rows of one kind (`minute` and `day` are kinds of bars)."""

    def __init__(self, family: str, kind: str, *, descending: bool = False) -> None:
        self._family = family
        self._kind = kind
        self._counts_down = descending and (family, kind) == (CRYPTO.name, "quotes")
        self._counts_ns = family == OPTIONS.name or (family, kind) == (CRYPTO.name, "quotes")
        self.is_bar = kind in BAR_LETTERS

    def ties(self, rows: pa.Table) -> list[str]:
        """Return of each row what its token says after symbol and time."""
        if self.is_bar:
            return [""] * rows.num_rows
        if self._kind == "trades":
            return ["|".join(self._trade(row)) for row in rows.to_pylist()]
        if self._family == CRYPTO.name:
            return ["|".join(_quote(row)) for row in rows.to_pylist()]
        texts = row_texts(self._family, self._kind, rows)
        return [f"{zlib.crc32(text.encode()):08X}" for text in texts]

    def _trade(self, row: dict[str, object]) -> list[str]:
        number = [] if row["id"] is None else [f"{int(str(row['id'])) + ID_ZERO:020d}"]
        if self._family == CRYPTO.name:
            return number
        return [str(row["exchange"]), *number]

    def write(self, cursor: Cursor) -> str:
        """Return the token of a row."""
        if self.is_bar:
            fields = [cursor.symbol, BAR_LETTERS[self._kind], iso_utc(cursor.event_ns)]
        else:
            fields = [cursor.symbol, self._time(cursor.event_ns), cursor.tie]
            fields += [str(cursor.number)] if cursor.number else []
        return base64.b64encode("|".join(fields).encode()).decode()

    def read(self, token: str) -> Cursor:
        """Return the row that a token names.

        Raises:
            RequestRefused: it is no token of this kind.
        """
        try:
            fields = base64.b64decode(token, validate=True).decode().split("|")
            if self.is_bar:
                symbol, letter, time = fields
                if letter != BAR_LETTERS[self._kind]:
                    raise ValueError(letter)
                return Cursor(symbol, _instant(time), "", 0)
            symbol, time, *tie = fields
            number = int(tie.pop()) if len(tie) > self._width else 0
            event_ns = self._event_ns(time)
            if len(tie) != self._width or number < 0 or abs(event_ns) > NS_MAX:
                raise ValueError(token)
            return Cursor(symbol, event_ns, "|".join(tie), number)
        except (binascii.Error, ValueError) as error:
            raise RequestRefused(400, "invalid page_token") from error

    @property
    def _width(self) -> int:
        """How many fields there are after symbol and time."""
        if self._kind == "trades":
            return 1 if self._counts_ns or self._family == CRYPTO.name else 2
        return 4 if self._family == CRYPTO.name else 1

    def _time(self, event_ns: int) -> str:
        if not self._counts_ns:
            return iso_utc(event_ns)
        return str(NS_MAX - event_ns if self._counts_down else event_ns)

    def _event_ns(self, time: str) -> int:
        if not self._counts_ns:
            return _instant(time)
        return NS_MAX - int(time) if self._counts_down else int(time)


def _instant(text: str) -> int:
    try:
        return parse_instant(text)
    except RequestRefused as error:
        raise ValueError(text) from error


def _quote(row: dict[str, object]) -> list[str]:
    sides = ("bid_price", "bid_size", "ask_price", "ask_size")
    return [f"{row[side]!r}".removesuffix(".0") for side in sides]
