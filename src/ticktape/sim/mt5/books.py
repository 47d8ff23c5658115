"""The states of one symbol's book, each by its number: recorded ones, or made up from a seed.

A state is a sequence of rows in the terminal's own order: sells from the highest price down, then
buys. Every process makes the same states; none of them is kept between calls.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ticktape.errors import ConfigError
from ticktape.sim.mt5.description import NONE, SHIPPED, BookDescription
from ticktape.sim.mt5.generated import GeneratedStates
from ticktape.sim.mt5.results import ROW_DTYPE, Ints, Row
from ticktape.sim.mt5.schedule import Cycle, poisson, regular, seed_of

SHIPPED_BOOK = "book20_usdm_btcusdt_20240808_cut.parquet"
COLUMNS = ["snapshot", "recv_ns", "type", "price", "volume"]


class States(Protocol):
    """Books by number."""

    @property
    def depth(self) -> int:
        """What the symbol says its depth is; books may have more."""
        ...

    def rows(self, state: int) -> Sequence[Row]:
        """The rows of one state."""
        ...

    def contents(self, states: Ints) -> Ints:
        """For each state a number that is equal for equal rows."""
        ...


class RecordedStates:
    """The books of a file, over and over; `recv_ns` says when each came."""

    def __init__(self, table: pa.Table) -> None:
        snapshots = table["snapshot"].to_numpy()
        starts = np.flatnonzero(np.concatenate([[True], snapshots[1:] != snapshots[:-1]]))
        rows = np.zeros(len(snapshots), ROW_DTYPE)
        rows["type"] = table["type"].to_numpy()
        rows["price"] = table["price"].to_numpy()
        rows["volume_dbl"] = table["volume"].to_numpy()
        rows["volume"] = rows["volume_dbl"].astype(np.uint64)
        self._rows = rows
        self._bounds: list[int] = [*starts.tolist(), len(snapshots)]
        self.recv_ns: Ints = table["recv_ns"].to_numpy()[starts].astype(np.int64)
        sells = np.add.reduceat(rows["type"] == 1, starts)
        sizes = np.diff(self._bounds)
        self.depth = int(max(sells.max(), (sizes - sells).max()))
        self._contents: Ints | None = None

    def __len__(self) -> int:
        """How many books the file has."""
        return len(self.recv_ns)

    def rows(self, state: int) -> Sequence[Row]:
        """The rows of one state; a state after the last of the file begins again."""
        place = state % len(self)
        rows: list[Row] = self._rows[self._bounds[place] : self._bounds[place + 1]].tolist()
        return rows

    def contents(self, states: Ints) -> Ints:
        """For each state a number that is equal for equal rows."""
        if self._contents is None:
            numbers: dict[bytes, int] = {}
            bounds = self._bounds
            found = [
                numbers.setdefault(self._rows[start:stop].tobytes(), len(numbers))
                for start, stop in pairwise(bounds)
            ]
            self._contents = np.asarray(found, np.int64)
        picked: Ints = self._contents[states % len(self)]
        return picked

    def tops(self) -> npt.NDArray[np.float64]:
        """Best bid and best ask of each book, 0 where a side is empty; shape (books, 2)."""
        found = np.zeros((len(self), 2))
        for place in range(len(self)):
            rows = self._rows[self._bounds[place] : self._bounds[place + 1]]
            bids, asks = rows["price"][rows["type"] == 2], rows["price"][rows["type"] == 1]
            found[place] = bids.max(initial=0.0), asks.min() if len(asks) else 0.0
        return found


class NoStates:
    """A book that never fills."""

    depth = 0

    def rows(self, state: int) -> Sequence[Row]:
        """No rows."""
        return ()

    def contents(self, states: Ints) -> Ints:
        """All the same."""
        return np.zeros(len(states), np.int64)


@lru_cache(maxsize=16)
def read_states(file: str) -> RecordedStates:
    """Return the books of a Parquet file with the columns snapshot recv_ns type price volume.

    Raises:
        ConfigError: the file cannot be read or has other columns.
    """
    try:
        if file == SHIPPED:
            with as_file(files("ticktape.sim") / "tapes" / SHIPPED_BOOK) as shipped:
                return RecordedStates(pq.read_table(shipped, columns=COLUMNS))
        table = pq.read_table(Path(file), columns=COLUMNS)
        if not table.num_rows:
            raise ConfigError([f"{file}: it has no rows"])
        return RecordedStates(table)
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(
            [f"{file}: {error}"], hint=f"A book's file has the columns {' '.join(COLUMNS)}."
        ) from error


@lru_cache(maxsize=64)
def make_states(book: BookDescription, seed: int, symbol: str) -> States | None:
    """Return the states of a symbol's book; None for one that has no book."""
    match book.kind:
        case "recorded":
            return read_states(book.file)
        case "generated":
            return GeneratedStates(book, seed_of(seed, symbol, "book"))
        case "empty":
            return NoStates()
    assert book.kind == NONE
    return None


def recorded_cycle(states: RecordedStates, speed: float, passes: int) -> Cycle:
    """Return when each state of a recording comes, at `speed` times its own pace."""
    offsets = ((states.recv_ns - states.recv_ns[0]) / speed).astype(np.int64)
    # From the last book to the first of the next pass goes the mean of the times between books.
    pause_ns = max(int(offsets[-1]) // max(len(offsets) - 1, 1), 1)
    return Cycle(offsets, int(offsets[-1]) + pause_ns, passes * len(offsets) or None)


@lru_cache(maxsize=64)
def make_cycle(
    book: BookDescription, seed: int, symbol: str, speed: float, passes: int
) -> Cycle | None:
    """Return when the states of a book come; None when it is calls that bring them, or nothing."""
    match book.kind:
        case "recorded":
            return recorded_cycle(read_states(book.file), speed, passes) if speed else None
        case "generated" if book.poisson:
            return poisson(book.rate, seed_of(seed, symbol, "moments"))
        case "generated":
            return regular(book.rate)
        case "empty":
            return Cycle(np.zeros(1, np.int64), 1, 1)
    return None
