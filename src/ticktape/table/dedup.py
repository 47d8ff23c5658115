"""Which arrivals are the same trade again: equal in symbol, time, exchange, id, and content.

Only what has an identity can be a duplicate: a row without an id never is, and equal prints with
other ids are different trades. The same identity with other content is a conflict: counted, and
both stay. The answer must not depend on where batches end or when the process started, so that
`check` finds the same counts in the journal.
"""

import mmap
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.table.hashing import Prints, Words, prints_of

Flags: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"
Times: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Places: TypeAlias = "np.ndarray[Any, np.dtype[np.intp]]"

# A reconnect or a feed's hiccup repeats messages within seconds; what is older is looked up in the
# table.
WINDOW_NS = 120 * 1_000_000_000
# 16 bytes each, so 32 MB a generation; two live at once, a third only until the next commit.
GENERATION_ROWS_MAX = 2_000_000


class Lookup(Protocol):
    """Finds a feed's stored trades by event time."""

    def __call__(self, feed: str, event_ns: Times, /) -> pa.Table:
        """Those at `event_ns` (sorted, unique), with hashing.COLUMNS."""


class Deduped(NamedTuple):
    """`rows` are the new ones in their order; `conflicts` of them have a known identity."""

    rows: pa.Table
    duplicates: int
    conflicts: int


class SortedPrints:
    """Prints sorted by key, for many look-ups at once."""

    __slots__ = ("prints",)

    def __init__(self, prints: Prints) -> None:
        self.prints = prints

    def __len__(self) -> int:
        return len(self.prints.keys)

    def find(self, wanted: Prints) -> tuple[Flags, Flags]:
        """Tell of each wanted print whether its key is here, and whether key and content are.

        Any order will do; five times faster is that of the keys.
        """
        keys, contents = self.prints
        known = np.zeros(len(wanted.keys), np.bool_)
        same = known.copy()
        if not len(keys):
            return known, same
        first = np.searchsorted(keys, wanted.keys, "left")
        known = keys.take(first, mode="clip") == wanted.keys
        hits = np.flatnonzero(known)  # few, and mostly none
        first = first[hits]
        count = np.searchsorted(keys, wanted.keys[hits], "right") - first
        # One key has as many prints as it had different contents: one, but for conflicts.
        for nth in range(int(count.max(initial=0))):
            more = np.flatnonzero(count > nth)
            same[hits[more]] |= contents[first[more] + nth] == wanted.contents[hits[more]]
        return known, same


def sort_prints(prints: Prints) -> tuple[SortedPrints, Places]:
    """Sort by key, equal ones as they came; also from which place each of them came."""
    order = np.argsort(prints.keys)
    keys = prints.keys[order]
    if (keys[1:] == keys[:-1]).any():  # rare, and the stable way is slower
        order = np.argsort(prints.keys, kind="stable")
        keys = prints.keys[order]
    return SortedPrints(Prints(keys, prints.contents[order])), order


class _Generation:
    """The prints that arrived in one half of the window, in memory that is all its own.

    Taken and given back as a whole: among what comes and goes with every batch, memory that stays
    for minutes leaves holes behind, and a process grew by 100 MB that nothing used.
    """

    def __init__(self, recv_ns: int, rows_max: int) -> None:
        self.since_recv_ns = recv_ns
        self.until_recv_ns = recv_ns
        self.event_ns_max = -(2**63)
        self.rows = 0
        self._prints = Prints(_memory(rows_max), _memory(rows_max))
        self._runs: list[tuple[int, int]] = []  # each sorted by key, next to each other

    def has_room(self, rows: int) -> bool:
        """Whether so many more can be added."""
        return self.rows + rows <= len(self._prints.keys)

    def find(self, wanted: Prints) -> tuple[Flags, Flags]:
        known = np.zeros(len(wanted.keys), np.bool_)
        same = known.copy()
        for start, end in self._runs:
            run_known, run_same = self._part(start, end).find(wanted)
            known |= run_known
            same |= run_same
        return known, same

    def add(self, prints: SortedPrints, recv_ns: int, event_ns_max: int) -> None:
        start, end = self.rows, self.rows + len(prints)
        for target, column in zip(self._prints, prints.prints, strict=True):
            target[start:end] = column
        self.rows = end
        self.until_recv_ns = max(self.until_recv_ns, recv_ns)
        self.event_ns_max = max(self.event_ns_max, event_ns_max)
        # Runs of like size are merged, so that there are few: log2 of the rows.
        while self._runs and start - self._runs[-1][0] <= 2 * (end - start):
            start = self._runs.pop()[0]
            self._merge(start, end)
        self._runs.append((start, end))

    def _part(self, start: int, end: int) -> SortedPrints:
        return SortedPrints(Prints(*(column[start:end] for column in self._prints)))

    def _merge(self, start: int, end: int) -> None:
        keys, contents = self._part(start, end).prints
        order = np.argsort(keys, kind="stable")  # which finds that there are two runs
        keys[:] = keys[order]
        contents[:] = contents[order]


def _memory(words: int) -> Words:
    # What is not written to takes none.
    return np.frombuffer(mmap.mmap(-1, 8 * words), np.uint64)


class Deduplicator:
    """Remembers one feed's arrivals of the window; asks the table about what is older.

    `stored_event_ns_max` is the highest event time of the feed in the table at the start, None when
    there is none: the memory is empty then, and whatever came before lies in the table. `window_ns`
    and `generation_rows_max` bound the memory.
    """

    def __init__(
        self,
        feed: str,
        lookup: Lookup,
        stored_event_ns_max: int | None,
        *,
        window_ns: int = WINDOW_NS,
        generation_rows_max: int = GENERATION_ROWS_MAX,
    ) -> None:
        self.feed = feed
        self.evicted_event_ns_max = stored_event_ns_max
        self._lookup = lookup
        self._window_ns = window_ns
        self._generation_rows_max = generation_rows_max
        self._generations: list[_Generation] = []

    @property
    def remembered(self) -> int:
        """How many arrivals are in memory."""
        return sum(generation.rows for generation in self._generations)

    def take(self, arrivals: pa.Table) -> Deduped:
        """Sort out duplicates and remember the rest; `arrivals` are trades of this feed, in order.

        The rows that it gives must reach the table before `forget` is called.
        """
        with_id = arrivals.column("id").is_valid().to_numpy()
        rows = np.flatnonzero(with_id)
        if not len(rows):
            return Deduped(arrivals, 0, 0)
        trades = arrivals if len(rows) == len(with_id) else arrivals.take(rows)
        found, order = sort_prints(prints_of(trades))
        prints = found.prints
        event_ns = trades.column("event_ns").to_numpy()[order]
        known, same = self._find(prints, event_ns)
        fresh, conflicts = _sort_out(prints, known, same)
        if not fresh.all():
            found = SortedPrints(Prints(prints.keys[fresh], prints.contents[fresh]))
        if len(found):
            recv_ns_max = int(pc.max(trades.column("recv_ns")).as_py())
            self._remember(found, recv_ns_max, int(event_ns[fresh].max()))
        if fresh.all():
            return Deduped(arrivals, 0, conflicts)
        keep = np.ones(arrivals.num_rows, np.bool_)
        keep[rows[order]] = fresh
        return Deduped(arrivals.filter(pa.array(keep)), int((~fresh).sum()), conflicts)

    def forget(self) -> None:
        """Drop what is older than the window or too much; call when all rows given are committed.

        The window ends at the newest arrival and not at a clock, so that a replay forgets alike.
        """
        generations = self._generations
        while len(generations) > 1:
            newest, oldest = generations[-1], generations[0]
            recent = newest.until_recv_ns - oldest.until_recv_ns <= self._window_ns
            few = len(generations) <= 2 or self.remembered <= 2 * self._generation_rows_max
            if recent and few:
                return
            self._evicted(generations.pop(0).event_ns_max)

    def _find(self, prints: Prints, event_ns: Times) -> tuple[Flags, Flags]:
        known = np.zeros(len(prints.keys), np.bool_)
        same = known.copy()
        for generation in self._generations:
            found_known, found_same = generation.find(prints)
            known |= found_known
            same |= found_same
        if self.evicted_event_ns_max is None:
            return known, same
        # A key's time is part of it, so only what is as old as the evicted can have been evicted.
        old = np.flatnonzero((event_ns <= self.evicted_event_ns_max) & ~same)
        if len(old):
            stored = _with_id(self._lookup(self.feed, np.unique(event_ns[old])))
            wanted = Prints(prints.keys[old], prints.contents[old])
            found_known, found_same = sort_prints(prints_of(stored))[0].find(wanted)
            known[old] |= found_known
            same[old] |= found_same
        return known, same

    def _remember(self, prints: SortedPrints, recv_ns: int, event_ns_max: int) -> None:
        newest = self._generations[-1] if self._generations else None
        if (
            newest is None
            or recv_ns - newest.since_recv_ns > self._window_ns // 2
            or not newest.has_room(len(prints))
        ):
            newest = _Generation(recv_ns, max(self._generation_rows_max, len(prints)))
            self._generations.append(newest)
        newest.add(prints, recv_ns, event_ns_max)

    def _evicted(self, event_ns_max: int) -> None:
        if self.evicted_event_ns_max is None or event_ns_max > self.evicted_event_ns_max:
            self.evicted_event_ns_max = event_ns_max


def _with_id(trades: pa.Table) -> pa.Table:
    return trades.filter(trades.column("id").is_valid())


def _sort_out(prints: Prints, known: Flags, same: Flags) -> tuple[Flags, int]:
    """Tell which prints are new, also among themselves, and how many of those are conflicts.

    They are sorted by key, equal ones as they came.
    """
    fresh = ~same
    keys, contents = prints
    if not (keys[1:] == keys[:-1]).any():
        return fresh, int((known & fresh).sum())
    # By key, then content, then arrival: the first arrival of each (key, content) is the new one.
    order = np.lexsort((np.arange(len(keys)), contents, keys))
    keys, contents = keys[order], contents[order]
    again = np.zeros(len(keys), np.bool_)
    again[1:] = (keys[1:] == keys[:-1]) & (contents[1:] == contents[:-1])
    fresh[order[again]] = False
    # A key's contents beyond its first are conflicts; all of them if the key was known before.
    fresh_keys, first = np.unique(prints.keys[fresh], return_index=True)
    known_before = int(known[fresh][first].sum())
    return fresh, int(fresh.sum()) - len(fresh_keys) + known_before


class DuplicateCount:
    """Counts duplicates and conflicts of a whole journal at once, for `check`: 16 bytes a trade.

    Equals the sums of what Deduplicators gave, however the batches and restarts fell.
    """

    def __init__(self) -> None:
        self._parts: list[Prints] = []

    def add(self, trades: pa.Table) -> None:
        """Take trades of one feed, in any order and any portions."""
        with_id = _with_id(trades)
        if with_id.num_rows:
            self._parts.append(prints_of(with_id))

    def result(self) -> tuple[int, int]:
        """Give (duplicates, conflicts) of all that was added."""
        if not self._parts:
            return 0, 0
        keys = np.concatenate([part.keys for part in self._parts])
        contents = np.concatenate([part.contents for part in self._parts])
        order = np.lexsort((contents, keys))
        keys, contents = keys[order], contents[order]
        new_key = np.concatenate(([True], keys[1:] != keys[:-1]))
        new_pair = new_key | np.concatenate(([True], contents[1:] != contents[:-1]))
        return int((~new_pair).sum()), int(new_pair.sum() - new_key.sum())
