"""What a feed's journal holds around a moment: the venue's times, its lag, the symbols; read only.

The place is found by the segments' first blocks and then by reading on: gaps are rare, and an index
would be one more thing to keep true.
"""

from collections import deque
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from ticktape import clock
from ticktape.decoders import decoder_for
from ticktape.journal.blocks import Block
from ticktape.journal.reader import Reader
from ticktape.journal.segments import Segment, list_segments
from ticktape.ledger.heal_plan import OVERLAP_NS, Around, Channels
from ticktape.recorder.heal_memory import has_data
from ticktape.records import Position

_NEAR_BYTES = 1 << 20  # of data on each side; some thousand messages
_AFTER_NS = 2 * clock.NS_PER_S  # what comes later says nothing of the gap
_MINUTE_NS = 60 * clock.NS_PER_S
# Rows of these kinds say when something happened; a bar is sent when its minute is over.
_TIMED = {"trades": 0, "quotes": 0, "crypto_books": 0, "bars": _MINUTE_NS}

Open = Callable[[Position], Reader]


def look_around(
    open_at: Open, kind: str, feed: str, from_ns: int, to_ns: int, near_bytes: int = _NEAR_BYTES
) -> Around:
    """See what came before and behind a gap of receive times.

    Args:
        open_at: a reader of the feed's journal from a position.
        kind: the feed's.
        feed: its name.
        from_ns: when the gap began.
        to_ns: when it ended.
        near_bytes: how much to decode on each side.
    """
    before, after = _near(open_at, from_ns, to_ns, near_bytes)
    event_ns, lag_ns, symbols = None, None, _Symbols()
    for blocks in (before, after):
        # Each block with its own receive time: a table has that per row.
        for name, table in decoder_for(kind, feed).tables(blocks).items():
            symbols.add(name, table)
            if name not in _TIMED or not table.num_rows:
                continue
            late_ns = pc.subtract(table["recv_ns"], table["event_ns"])
            least_ns = int(pc.min(late_ns).as_py()) - _TIMED[name]
            lag_ns = least_ns if lag_ns is None else min(lag_ns, least_ns)
            if blocks is before:
                newest_ns = int(pc.max(table["event_ns"]).as_py()) + _TIMED[name]
                event_ns = newest_ns if event_ns is None else max(event_ns, newest_ns)
    # A venue's clock is never far ahead of ours: a time of the future is a fault of one row.
    return Around(event_ns, max(lag_ns or 0, -OVERLAP_NS), symbols.found())


class _Symbols:
    """Symbols by kind of row, which is the channel's name."""

    def __init__(self) -> None:
        self._found: dict[str, set[str]] = {}

    def add(self, kind: str, table: pa.Table) -> None:
        names = pc.unique(table["symbol"]).to_pylist() if "symbol" in table.column_names else []
        self._found.setdefault(kind, set()).update(name for name in names if name)

    def found(self) -> Channels:
        return {kind: sorted(names) for kind, names in self._found.items()}


def _near(
    open_at: Open, from_ns: int, to_ns: int, near_bytes: int
) -> tuple[list[Block], list[Block]]:
    """Blocks with data before `from_ns`, the last ones, and behind `to_ns`, the first ones."""
    with open_at(Position(0, 0)) as reader:
        segments = list_segments(reader.directory)
    at = _segment_before(open_at, segments, from_ns)
    while True:
        before, after = _read_near(open_at, segments[at:], from_ns, to_ns, near_bytes)
        if before or at <= 0:
            return before, after
        at -= 1  # nothing but silence in this one


def _segment_before(open_at: Open, segments: list[Segment], ns: int) -> int:
    """Index of the last segment that begins before a moment."""
    found = 0
    for index, segment in enumerate(segments):
        with open_at(segment.position) as reader:
            blocks = reader.read(1)
        if blocks and blocks[0].recv_ns > ns:
            break
        found = index
    return found


def _read_near(
    open_at: Open, segments: list[Segment], from_ns: int, to_ns: int, near_bytes: int
) -> tuple[list[Block], list[Block]]:
    before = _Last(near_bytes)
    after: list[Block] = []
    if not segments:
        return [], []
    size = 0
    with open_at(segments[0].position) as reader:
        while blocks := reader.read():
            for block in blocks:
                if not has_data(block):
                    continue
                if block.recv_ns <= from_ns:
                    before.add(block)
                elif block.recv_ns >= to_ns:
                    if size >= near_bytes or block.recv_ns > to_ns + _AFTER_NS:
                        return before.blocks(), after
                    after.append(block)
                    size += len(block.body)
    return before.blocks(), after


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

    def blocks(self) -> list[Block]:
        return list(self._blocks)
