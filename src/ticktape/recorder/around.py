"""What a feed's journal holds around a moment: the venue's times, its lag, the symbols; read only.

The place is found by the segments' first blocks and then by reading on: gaps are rare, and an index
would be one more thing to keep true.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ticktape import clock
from ticktape.decoders import decoder_for
from ticktape.journal.blocks import Block
from ticktape.journal.reader import Reader
from ticktape.journal.segments import Segment, list_segments, read_first_block
from ticktape.ledger.heal_plan import Around, Channels
from ticktape.recorder.heal_memory import has_data
from ticktape.records import Position

_NEAR_BYTES = 1 << 20  # of data on each side; some thousand messages
_AFTER_NS = 2 * clock.NS_PER_S  # what comes later says nothing of the gap
_MINUTE_NS = 60 * clock.NS_PER_S
# Rows of these kinds say when something happened; a bar is sent when its minute is over.
_TIMED = {"trades": 0, "quotes": 0, "crypto_books": 0, "bars": _MINUTE_NS}
_STRAY_NS = 60 * clock.NS_PER_S  # so far ahead of the others a row's time is a fault of its own
_FEW = 8  # rows, which alone do not prove that our clock is far behind
_FAR_NS = 3600 * clock.NS_PER_S

Open = Callable[[Position], Reader]
Blocks = list[Block]


class _Leaving(Exception):
    """It is time to leave."""


def look_around(
    open_at: Open,
    kind: str,
    feed: str,
    from_ns: int,
    to_ns: int,
    near_bytes: int = _NEAR_BYTES,
    is_leaving: Callable[[], bool] = lambda: False,
) -> Around | None:
    """See what came before and behind a gap of receive times; None when it is time to leave.

    Args:
        open_at: a reader of the feed's journal from a position.
        kind: the feed's.
        feed: its name.
        from_ns: when the gap began.
        to_ns: when it ended.
        near_bytes: how much to decode on each side.
        is_leaving: asked now and then; a journal may be long.
    """
    try:
        sides = _near(_Journal(open_at, is_leaving), from_ns, to_ns, near_bytes)
    except _Leaving:
        return None
    symbols = _Symbols()
    before, after = (_lag_of(blocks, kind, feed, symbols) for blocks in sides)
    lags = [each for each in (before, after) if each is not None]
    if not lags:
        return Around(None, 0, symbols.found())
    least_ns = min(each.least_ns for each in lags)
    return Around(
        None if before is None else before.newest_ns,
        least_ns,
        symbols.found(),
        max(each.usual_ns for each in lags) - least_ns,
    )


class _Lag(NamedTuple):
    """How late rows came by our clock, at least and usually; the newest of the venue's times."""

    least_ns: int
    usual_ns: int
    newest_ns: int


def _lag_of(blocks: Blocks, kind: str, feed: str, symbols: "_Symbols") -> _Lag | None:
    """The lag of one side; None when nothing says it. The symbols are noted."""
    received: list[npt.NDArray[np.int64]] = []
    happened: list[npt.NDArray[np.int64]] = []
    # Each block with its own receive time: a table has that per row.
    for name, table in decoder_for(kind, feed).tables(blocks).items():
        symbols.add(name, table)
        if name == "bars":
            # A bar of a day says nothing of when it was sent.
            table = table.filter(pc.equal(table["span"], pa.scalar("minute")))
        if name in _TIMED:
            received.append(table["recv_ns"].to_numpy())
            happened.append(table["event_ns"].to_numpy() + _TIMED[name])
    if not sum(map(len, received)):
        return None
    event_ns = np.concatenate(happened)
    late_ns = np.concatenate(received) - event_ns
    usual_ns = int(np.sort(late_ns)[len(late_ns) // 2])
    if usual_ns < -_FAR_NS and len(late_ns) < _FEW:
        return None
    # Our clock may be behind the venue's, for all rows. One time of the future is a fault.
    believed = late_ns >= min(usual_ns, 0) - _STRAY_NS
    return _Lag(int(late_ns[believed].min()), usual_ns, int(event_ns[believed].max()))


class _Symbols:
    """Symbols by kind of row, which is the channel's name."""

    def __init__(self) -> None:
        self._found: dict[str, set[str]] = {}

    def add(self, kind: str, table: pa.Table) -> None:
        names = pc.unique(table["symbol"]).to_pylist() if "symbol" in table.column_names else []
        self._found.setdefault(kind, set()).update(name for name in names if name)

    def found(self) -> Channels:
        return {kind: sorted(names) for kind, names in self._found.items()}


class _Journal:
    """A journal whose segments are listed once."""

    def __init__(self, open_at: Open, is_leaving: Callable[[], bool]) -> None:
        self._open_at = open_at
        self._is_leaving = is_leaving
        with open_at(Position(0, 0)) as reader:
            self.segments: Sequence[Segment] = list_segments(reader.directory)

    def index_before(self, ns: int) -> int:
        """Index of the last segment that begins before a moment; 0 when none does."""
        indexes = range(len(self.segments))
        return max(bisect_right(indexes, ns, key=self._first_ns) - 1, 0)

    def _first_ns(self, index: int) -> int:
        """When the first block of a segment came; of an empty one, of the one before it."""
        for at in range(index, -1, -1):
            self._check()
            first = read_first_block(self.segments[at])
            if first is not None:
                return first.recv_ns
        return 0

    def data_from(self, position: Position) -> Iterator[Block]:
        """The blocks with messages of the venue."""
        with self._open_at(position) as reader:
            while blocks := reader.read():
                self._check()
                yield from filter(has_data, blocks)

    def _check(self) -> None:
        if self._is_leaving():
            raise _Leaving


def _near(journal: _Journal, from_ns: int, to_ns: int, near_bytes: int) -> tuple[Blocks, Blocks]:
    """Blocks with data before `from_ns`, the last ones, and behind `to_ns`, the first ones."""
    segments = journal.segments
    if not segments:
        return [], []
    at = journal.index_before(from_ns)
    before, reached = _read_before(journal, segments[at].position, from_ns, near_bytes)
    behind = max(reached, segments[journal.index_before(to_ns)].position)
    while not before and at > 0:
        at -= 1  # nothing but silence in this one
        before, _ = _read_before(journal, segments[at].position, from_ns, near_bytes)
    return before, _read_after(journal, behind, to_ns, near_bytes)


def _read_before(
    journal: _Journal, start: Position, from_ns: int, near_bytes: int
) -> tuple[Blocks, Position]:
    """The last blocks up to a moment, and where it was reached."""
    found = _Last(near_bytes)
    reached = start
    for block in journal.data_from(start):
        if block.recv_ns > from_ns:
            break
        found.add(block)
        reached = block.end
    return found.blocks(), reached


def _read_after(journal: _Journal, start: Position, to_ns: int, near_bytes: int) -> Blocks:
    found: Blocks = []
    size = 0
    for block in journal.data_from(start):
        if size >= near_bytes or block.recv_ns > to_ns + _AFTER_NS:
            break
        if block.recv_ns >= to_ns:
            found.append(block)
            size += len(block.body)
    return found


class _Last:
    """The last blocks, so many bytes of them, and one at least."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._blocks: deque[Block] = deque()
        self._bytes = 0

    def add(self, block: Block) -> None:
        self._blocks.append(block)
        self._bytes += len(block.body)
        while self._bytes > self._most_bytes and len(self._blocks) > 1:
            self._bytes -= len(self._blocks.popleft().body)

    def blocks(self) -> Blocks:
        return list(self._blocks)
