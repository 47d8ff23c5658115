"""Where each row came from, as columns, out of what its block and its entry have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Longs: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


@dataclass(frozen=True, slots=True)
class Origin:
    """One place for each row, in their order."""

    recv_ns: Longs
    epoch: Longs
    seq: Longs
    index: "np.ndarray[Any, np.dtype[np.int32]]"

    def take(self, rows: Longs) -> "Origin":
        """Give that of these rows."""
        return Origin(self.recv_ns[rows], self.epoch[rows], self.seq[rows], self.index[rows])


def origin_of(
    recv_ns: Longs,
    epochs: Longs,
    seqs: Longs,
    sizes: Sequence[int],
    counts: "Sequence[int] | Longs",
) -> Origin:
    """Spread what blocks have over their rows.

    `recv_ns`, `epochs` and `seqs`, the numbers of their first entries, are of the blocks, and so
    are the `sizes`, how many entries each has. `counts` says of every entry how many rows it gave.
    """
    if sizes.count(1) < len(sizes):
        entries = np.array(sizes, np.int64)
        recv_ns, epochs = np.repeat(recv_ns, entries), np.repeat(epochs, entries)
        seqs = np.repeat(seqs, entries) + _places(entries)
    rows = np.array(counts, np.int64)
    if (rows == 1).all():
        return Origin(recv_ns, epochs, seqs, np.zeros(len(counts), np.int32))
    index = _places(rows).astype(np.int32)
    return Origin(np.repeat(recv_ns, rows), np.repeat(epochs, rows), np.repeat(seqs, rows), index)


def _places(counts: Longs) -> Longs:
    """Count from 0 within each of these groups, one behind the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1], dtype=np.int64) - np.repeat(ends - counts, counts)
