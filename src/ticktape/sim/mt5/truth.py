"""The truth about a terminal: every state of every book that could be seen, and from when on.

Computed from the schedules and the log of starts, never from what a client says. A state is here
exactly when `market_book_get` would have returned it at some instant: states that had no time, came
while the link was down, or were equal to the one before are not.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ticktape.sim.mt5.results import ROW_DTYPE, TICK_DTYPE, TICK_FIELDS, Ints, TickRows
from ticktape.sim.mt5.ticks import Ticks
from ticktape.sim.mt5.world import Book, Start, World

BATCH = 4096  # states in memory at a time, when they are written

_BOOK_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("symbol", pa.string()),
    ("start", pa.int64()),
    ("state", pa.int64()),
    ("change_mono_ns", pa.int64()),
    ("change_ns", pa.int64()),
    ("rows", pa.binary()),
]
BOOKS = pa.schema(_BOOK_COLUMNS)
_TICK_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("symbol", pa.string()),
    ("visible_mono_ns", pa.int64()),
    *((name, pa.from_numpy_dtype(TICK_DTYPE[name])) for name in TICK_FIELDS),
]
TICKS = pa.schema(_TICK_COLUMNS)


@dataclass(frozen=True)
class Life:
    """One start as a book lived it: its states between `begin` and `stop` of the whole truth."""

    start: Start
    book: Book
    begin: int
    stop: int
    end_mono_ns: int


class Truth:
    """The states of one symbol over all starts, in their order; arrays of one length.

    `start` is the start's number, `state` the number of the state, `mono_ns` and `wall_ns` the
    moment of its change. `lives` says from when to when the terminal could be asked.
    """

    def __init__(self, world: World, symbol: str, until_mono_ns: int | None = None) -> None:
        """What there was until a moment, by default until now."""
        self.symbol = symbol
        self.lives: list[Life] = []
        until_ns = world.clock.monotonic_ns() if until_mono_ns is None else until_mono_ns
        starts, states, monos, walls = [], [], [], []
        begin = 0
        for start in world.starts():
            book = world.make_book(start.description, symbol, start.number, start.mono_ns)
            if book is None or start.mono_ns > until_ns:
                continue
            end_ns = until_ns if start.end_mono_ns is None else min(start.end_mono_ns, until_ns)
            numbers, moments = _visible(book, start, end_ns)
            stop = begin + len(numbers)
            self.lives.append(Life(start, book, begin, stop, end_ns))
            starts.append(np.full(len(numbers), start.number))
            states.append(numbers)
            monos.append(moments)
            walls.append(moments - start.mono_ns + start.wall_ns)
            begin = stop
        self.start = _joined(starts)
        self.state = _joined(states)
        self.mono_ns = _joined(monos)
        self.wall_ns = _joined(walls)

    def __len__(self) -> int:
        """How many states could be seen."""
        return len(self.state)

    def count(self, from_mono_ns: int, to_mono_ns: int) -> int:
        """How many of the changes are in (from_mono_ns, to_mono_ns]."""
        first, stop = np.searchsorted(self.mono_ns, [from_mono_ns, to_mono_ns], "right")
        return int(stop - first)

    def at(self, mono_ns: int) -> int:
        """Which of the states is shown at that moment; -1 before the first."""
        return int(np.searchsorted(self.mono_ns, mono_ns, "right")) - 1

    def rows(self, index: int) -> bytes:
        """The rows of one of the states, packed as the terminal has them: 28 bytes each."""
        life = next(life for life in self.lives if life.begin <= index < life.stop)
        return pack(life.book.states.rows(int(self.state[index])))


def pack(rows: object) -> bytes:
    """Rows as whole records `<IdQd`."""
    return np.array(list(map(tuple, rows)), ROW_DTYPE).tobytes()  # type: ignore[call-overload]


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _visible(book: Book, start: Start, end_ns: int) -> tuple[Ints, Ints]:
    """Numbers and moments of the states that could be seen in one start."""
    if book.calls is not None:
        moments = book.calls.moments()
        moments = moments[moments <= end_ns]
    else:
        assert book.cycle is not None
        count = book.cycle.count(end_ns - start.mono_ns)
        moments = book.cycle.moments(0, count) + start.mono_ns
    numbers = np.arange(len(moments))
    for from_ns, until_ns in start.frozen:
        # What came while the link was down was never shown but for the last of it, at its end.
        low, high = np.searchsorted(moments, [from_ns, min(until_ns, end_ns)], "right")
        if high > low:
            keep: npt.NDArray[np.bool_] = np.ones(len(moments), np.bool_)
            keep[low : high - (until_ns <= end_ns)] = False
            moments[high - 1] = until_ns
            numbers, moments = numbers[keep], moments[keep]
    if len(moments):
        lasting = np.append(moments[1:] != moments[:-1], True)
        numbers, moments = numbers[lasting], moments[lasting]
        contents = book.states.contents(numbers)
        other = np.append(True, contents[1:] != contents[:-1])
        numbers, moments = numbers[other], moments[other]
    return numbers, moments


def ticks_truth(
    world: World, symbol: str, until_mono_ns: int | None = None
) -> tuple[TickRows, Ints]:
    """All ticks of the last start's market, and from when on each was visible, link or no link."""
    start = world.starts()[-1]
    ticks = Ticks(start.description, symbol, start.ticks_mono_ns, start.ticks_wall_ns)
    until_ns = world.clock.monotonic_ns() if until_mono_ns is None else until_mono_ns
    count = ticks.count(until_ns)
    return ticks.rows(0, count), ticks.visible_ns(0, count)


def write_truth(world: World, folder: Path, until_mono_ns: int | None = None) -> None:
    """Write `books.parquet` and `ticks.parquet`, each complete when it has its name."""
    folder.mkdir(parents=True, exist_ok=True)
    until_ns = world.clock.monotonic_ns() if until_mono_ns is None else until_mono_ns
    symbols = dict.fromkeys(name for start in world.starts() for name in start.description.books)
    written = folder / "books.new"
    with pq.ParquetWriter(written, BOOKS, compression="zstd") as writer:
        for symbol in symbols:
            _write_books(writer, Truth(world, symbol, until_ns))
    written.replace(folder / "books.parquet")
    written = folder / "ticks.new"
    with pq.ParquetWriter(written, TICKS, compression="zstd") as writer:
        for symbol in world.starts()[-1].description.books if world.starts() else ():
            rows, visible_ns = ticks_truth(world, symbol, until_ns)
            columns = {name: rows[name] for name in TICK_FIELDS}
            named = {"symbol": [symbol] * len(rows), "visible_mono_ns": visible_ns}
            writer.write_table(pa.table(named | columns, schema=TICKS))
    written.replace(folder / "ticks.parquet")


def _write_books(writer: pq.ParquetWriter, truth: Truth) -> None:
    for begin in range(0, len(truth), BATCH):
        part = slice(begin, min(begin + BATCH, len(truth)))
        columns = {
            "symbol": [truth.symbol] * (part.stop - part.start),
            "start": truth.start[part],
            "state": truth.state[part],
            "change_mono_ns": truth.mono_ns[part],
            "change_ns": truth.wall_ns[part],
            "rows": [truth.rows(index) for index in range(part.start, part.stop)],
        }
        writer.write_table(pa.table(columns, schema=BOOKS))
