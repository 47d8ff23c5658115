"""Drafts out of text that is written as usual: no message of it is read but those of the newest.

What they say is what `decode` would: who is unusual in one byte has no such drafts. Columns are
NumPy's and Arrow's, and nothing here is done for each of them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ticktape.decoders.instants import INT64_MAX
from ticktape.decoders.projection import BlockLike, Wire
from ticktape.decoders.usual import Form, Places, Text, Usual, read_usual
from ticktape.records import EntryKind, Record

# Measured: at 3 they cost as much as all records, at 20 two thirds of it.
DRAFTS_PER_SYMBOL_MIN = 4
# Measured on frames of 50: of 90 kB the columns cost a quarter more than the messages do, of 170 kB
# as much, of 500 kB two thirds.
_TEXT_BYTES_MIN = 170_000
_TEXT = int(EntryKind.TEXT)
_SMALL = 1 << 16  # numbers that fit into 16 bits are sorted without a comparison


def newest_of(
    symbols: Iterable[str], event_ns: Iterable[int], latest: Mapping[str, int]
) -> tuple[dict[str, int], int]:
    """The row of the newest of each symbol, and how many are earlier than what came before them.

    `latest` says of each symbol how late it must at least be. Symbols come in the order in which
    each of them first was the newest.
    """
    late = 0
    rows: dict[str, int] = {}
    latest = dict(latest)
    for row, symbol, when_ns in zip(count(), symbols, event_ns):
        # As late is later: it came later.
        if when_ns >= latest[symbol]:
            latest[symbol] = when_ns
            rows[symbol] = row
        else:
            late += 1
    return rows, late


class Entries(NamedTuple):
    """The entries of some blocks: of each its block, its number and its text."""

    blocks: list[BlockLike]
    seqs: list[int]
    payloads: list[bytes]

    @classmethod
    def of(cls, blocks: Sequence[BlockLike]) -> Self | None:
        """Those of the blocks, if all are text and together long enough for it to pay."""
        found = cls([], [], [])
        for block in blocks:
            for seq, (kind, payload) in enumerate(block.entries(), block.seq):
                if kind != _TEXT:
                    return None
                found.blocks.append(block)
                found.seqs.append(seq)
                found.payloads.append(payload)
        return found if sum(map(len, found.payloads)) >= _TEXT_BYTES_MIN else None


class _Source(NamedTuple):
    """Where the messages of a text are, what entries they came in, and who reads them."""

    wire: Wire
    text: Text
    starts: list[int]  # of each entry the place of its first message among all
    entries: Entries

    def origin(self, row: int) -> tuple[int, int, int, int]:
        """What every record of this message has: recv_ns, epoch, seq and index."""
        at = bisect_right(self.starts, row) - 1
        block = self.entries.blocks[at]
        return block.recv_ns, block.epoch, self.entries.seqs[at], row - self.starts[at]

    def record(self, row: int, feed: str) -> Record:
        """The record of this message.

        Raises:
            ValueError: it cannot be made.
        """
        (message,) = self.wire.reads[_TEXT](b"[" + self.text.message(row) + b"]")
        return self.wire.shapes[type(message)].record(message, feed, *self.origin(row))


class TextDrafts:
    """Trades or quotes of one feed, as `Drafts` has them."""

    __slots__ = ("_codes", "_event_ns", "_rows", "_source", "counts", "feed", "kind")

    def __init__(
        self,
        feed: str,
        kind: str,
        source: _Source,
        rows: Places | None,
        columns: Any,  # noqa: ANN401
    ) -> None:
        symbols, event_ns = columns
        coded = symbols.dictionary_encode()
        self.feed = feed
        self.kind = kind
        self._source = source
        self._rows = rows
        self._event_ns: npt.NDArray[np.int64] = event_ns.to_numpy()
        self._codes: npt.NDArray[np.integer[Any]] = coded.indices.to_numpy()
        each = np.bincount(self._codes).tolist()
        self.counts: dict[str, int] = dict(zip(coded.dictionary.to_pylist(), each, strict=True))

    @property
    def symbols(self) -> list[str]:
        """The symbol of each."""
        names = list(self.counts)
        return [names[code] for code in self._codes.tolist()]

    @property
    def event_ns(self) -> list[int]:
        """The time of each."""
        found: list[int] = self._event_ns.tolist()
        return found

    @property
    def first(self) -> tuple[int, int]:
        """The epoch and seq of the first."""
        _, epoch, seq, _ = self._source.origin(self._place(0))
        return epoch, seq

    def _place(self, row: int) -> int:
        return row if self._rows is None else int(self._rows[row])

    def newest(self, latest: Mapping[str, int]) -> tuple[dict[str, int], int]:
        """As that of `Drafts`; symbols come in the order in which they first came."""
        event_ns, names = self._event_ns, list(self.counts)
        below, above = int(event_ns.min()) - 1, int(event_ns.max()) + 1
        stride = above - below + 1
        if below < -INT64_MAX or stride * len(names) > INT64_MAX:
            return newest_of(self.symbols, event_ns.tolist(), latest)
        codes = self._codes.astype(np.uint16) if len(names) < _SMALL else self._codes
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        # One row of numbers that only grow from symbol to symbol: so all their maxima are one.
        floors = np.arange(len(names)) * stride
        keys = event_ns[order] - below + floors[codes]
        needed = [min(max(latest[name], below), above) - below for name in names]
        firsts = np.searchsorted(codes, np.arange(len(names)))
        best = keys.copy()
        best[firsts] = np.maximum(best[firsts], floors + np.array(needed))
        # As late is later: it came later.
        winners = np.flatnonzero(keys == np.maximum.accumulate(best))
        rows = np.full(len(names), -1)
        rows[codes[winners]] = order[winners]  # of several the last one stays
        found = {name: row for name, row in zip(names, rows.tolist(), strict=True) if row >= 0}
        return found, len(keys) - len(winners)

    def records(self, rows: Iterable[int]) -> list[Record]:
        """Make the records of these, as `decode` makes them.

        Raises:
            ValueError: one of them cannot be made.
        """
        return [self._source.record(self._place(row), self.feed) for row in rows]


def drafts_in_text(
    feed: str, wire: Wire, usuals: Mapping[Form, tuple[str, Usual]], entries: Entries
) -> list[TextDrafts] | None:
    """The drafts of all messages; None when one is unusual, or of too many symbols few came."""
    found = read_usual(entries.payloads, usuals)
    if found is None:
        return None
    starts = (np.cumsum(found.counts) - found.counts).tolist()
    source = _Source(wire, found.text, starts, entries)
    made = []
    try:
        for form, rows, cut in found.cuts:
            kind, usual = usuals[form]
            drafts = TextDrafts(feed, kind, source, rows, usual.draft(cut))
            if len(drafts.counts) * DRAFTS_PER_SYMBOL_MIN > len(cut):
                return None
            made.append(drafts)
    except ValueError:  # a time or a condition that is none
        return None
    return made
