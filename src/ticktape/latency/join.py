"""Blocks and the rows of one stage -> when each block first reached that stage.

A stamp of another boot is never compared with a block's: it is left out and counted.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ticktape.latency.blockindex import BlockIndex
from ticktape.latency.rowreading import boot_words


class Stamps(NamedTuple):
    """Per block the row that covers it first (-1: none); and how many rows were left out."""

    row: npt.NDArray[np.int64]
    other_boot_rows: int


def first_stamps(index: BlockIndex, rows: npt.NDArray[np.void]) -> Stamps:
    """For each block of `index`, the earliest of `rows` (`stagelog.ROW`) that covers all of it.

    A row covers the blocks that lie wholly in [from_offset, to_offset) of its epoch. Rows may
    overlap, as they do after a restart: the first time counts.
    """
    order = np.argsort(rows["mono_ns"], kind="stable")
    # Ranks instead of row numbers, so that the least rank is the earliest row.
    rank_of_block = np.full(len(index), len(rows), dtype=np.int64)
    other_boot_rows = 0
    epochs = rows["epoch"][order]
    for epoch in np.unique(epochs).tolist():
        boot_id = index.boots.get(epoch)
        if boot_id is None:
            continue
        ranks = np.flatnonzero(epochs == epoch)
        is_same_boot = (rows["boot"][order[ranks]] == boot_words(boot_id)).all(axis=1)
        other_boot_rows += int(np.count_nonzero(~is_same_boot))
        ranks = ranks[is_same_boot]
        first, end = index.epoch_range(epoch)
        covering = rows[order[ranks]]
        low = first + np.searchsorted(index.offset[first:end], covering["from_offset"], "left")
        high = first + np.searchsorted(index.end_offset[first:end], covering["to_offset"], "right")
        lengths = np.maximum(high - low, 0)
        # All covered blocks of all rows, one after the other: low, low + 1, …, high - 1 of each.
        starts = np.cumsum(lengths) - lengths
        blocks = np.arange(int(lengths.sum())) + np.repeat(low - starts, lengths)
        np.minimum.at(rank_of_block, blocks, np.repeat(ranks, lengths))
    is_reached = rank_of_block < len(rows)
    row = np.full(len(index), -1, dtype=np.int64)
    row[is_reached] = order[rank_of_block[is_reached]]
    return Stamps(row, other_boot_rows)
