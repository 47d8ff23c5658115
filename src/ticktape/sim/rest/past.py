"""What happened until now on each path: the rows that its tape has played, heard or not.

Nothing of the future is shown, unless the config wants whole tapes at once.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from ticktape.sim.families import PATHS, V1_PATH
from ticktape.sim.rest.answers import RequestRefused
from ticktape.sim.rest.index import TapeIndex
from ticktape.sim.tape import Tape

PASSES_MAX = 4  # a tape that repeats for ever would fill the memory


class Playing(Protocol):
    """What is asked of a stream: `tape` is one pass, `rows_played` counts over all passes."""

    @property
    def tape(self) -> Tape:
        """The tape of the first pass."""

    @property
    def rows_played(self) -> int:
        """How many rows happened so far, whether anyone heard them or not."""


class Shown(NamedTuple):
    """The first `rows` rows of a tape, which are the past; `now_ns` is the time of the last."""

    past: TapeIndex
    rows: int
    now_ns: int


class Past:
    """The past of every path that is played."""

    def __init__(self, streams: Mapping[str, Playing], *, shows_all: bool) -> None:
        # The v1 stream has no REST of its own: it was the same data as /v2/iex.
        self._streams = {path: stream for path, stream in streams.items() if path != V1_PATH}
        self._shows_all = shows_all
        self._indexes: dict[str, tuple[range, TapeIndex]] = {}

    @property
    def paths(self) -> frozenset[str]:
        """The paths that have a past."""
        return frozenset(self._streams)

    def counts(self) -> dict[str, int]:
        """Return how many rows of each path have happened."""
        least = {path: len(stream.tape) if self._shows_all else 0 for path, stream in self._items}
        return {path: max(stream.rows_played, least[path]) for path, stream in self._items}

    @property
    def _items(self) -> list[tuple[str, Playing]]:
        return list(self._streams.items())

    def of(self, path: str, counts: Mapping[str, int]) -> Shown:
        """Return the past of a path as it was when `counts` were taken.

        Raises:
            RequestRefused: nothing is played there, as if the account had not subscribed to it.
        """
        stream = self._streams.get(path)
        if stream is None:
            raise RequestRefused(403, f"subscription does not permit querying {path}")
        rows = len(stream.tape)
        begun = max(1, -(-counts[path] // rows)) if rows else 1
        passes = range(max(0, begun - PASSES_MAX), begun)
        found = self._indexes.get(path)
        if found is None or found[0] != passes:
            found = self._indexes[path] = passes, TapeIndex(_joined(stream.tape, passes))
        count = counts[path] - passes.start * rows
        due_ns = found[1].tape.due_ns
        now_ns = int(due_ns[max(0, count - 1)]) if len(due_ns) else 0
        return Shown(found[1], count, now_ns)


def _joined(tape: Tape, passes: range) -> Tape:
    if passes == range(1):
        return tape
    parts = [tape.again(number) for number in passes]
    tables = {kind: pa.concat_tables([part.tables[kind] for part in parts]) for kind in tape.tables}
    due = {kind: np.concatenate([part.due_of(kind) for part in parts]) for kind in tape.tables}
    return Tape(tables, tape.family.name, due)


def family_of(path: str) -> str:
    """Return the name of a path's family."""
    return PATHS[path].name
