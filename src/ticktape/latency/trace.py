"""The way of one entry through the stages, from the stamps alone; pure.

A stage without a stamp is said so, with the reason as far as it is known, and never left out.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ticktape.latency.blockindex import BlockIndex
from ticktape.latency.join import first_stamps
from ticktape.latency.rowreading import boot_words
from ticktape.latency.stagelog import STAGES
from ticktape.records import Position

NOT_REACHED = "not reached"
NO_STAMP = "no stamp"
OTHER_BOOT = "reached after a reboot"


class Step(NamedTuple):
    """One stage of the way; without a stamp the times are None, and `note` says why.

    `batch_count` is how many entries went through together (0: unknown).
    """

    stage: str
    mono_ns: int | None
    since_recv_us: float | None
    batch_count: int
    note: str = ""


def path_of(
    index: BlockIndex, stages: Mapping[str, npt.NDArray[np.void]], position: Position
) -> list[Step]:
    """Steps of the entries in the block at `position`: `recv`, then every stage in order.

    The order is that of `STAGES`, then any other given stages by name. "not reached": the stage has
    no stamp at or after it; "no stamp": the stage went past it, but the stamp was lost with its
    process; "reached after a reboot": its stamp is of another boot's clock.

    Raises:
        LookupError: no block of the index holds `position`.
    """
    row = index.row_at(position)
    if row is None:
        raise LookupError(f"{index.feed}: no block at epoch {position[0]} offset {position[1]}")
    recv_mono_ns = int(index.recv_mono_ns[row])
    block = _only(index, row)
    steps = [Step("recv", recv_mono_ns, 0.0, int(index.count[row]))]
    others = sorted(set(stages).difference(STAGES))
    for stage in (*STAGES[1:], *others):
        rows = stages.get(stage)
        stamp = -1 if rows is None else int(first_stamps(block, rows).row[0])
        if rows is None or stamp < 0:
            steps.append(Step(stage, None, None, 0, _why_none(block, rows)))
            continue
        mono_ns = int(rows["mono_ns"][stamp])
        since_recv_us = (mono_ns - recv_mono_ns) / 1000
        steps.append(Step(stage, mono_ns, since_recv_us, int(rows["count"][stamp])))
    return steps


def _only(index: BlockIndex, row: int) -> BlockIndex:
    at = slice(row, row + 1)
    return BlockIndex(
        index.feed,
        index.epoch[at],
        index.offset[at],
        index.end_offset[at],
        index.recv_mono_ns[at],
        index.count[at],
        index.seq[at],
        index.boots,
    )


def _why_none(block: BlockIndex, rows: npt.NDArray[np.void] | None) -> str:
    if rows is None or len(rows) == 0:
        return NOT_REACHED
    epoch, offset, end_offset = int(block.epoch[0]), block.offset[0], block.end_offset[0]
    is_epoch = rows["epoch"] == epoch
    covers = is_epoch & (rows["from_offset"] <= offset) & (rows["to_offset"] >= end_offset)
    boot_id = block.boots.get(epoch)
    if covers.any() and boot_id is not None:
        is_other = (rows["boot"][covers] != boot_words(boot_id)).any(axis=1)
        return OTHER_BOOT if is_other.all() else NO_STAMP
    is_past = (rows["epoch"] > epoch) | (is_epoch & (rows["to_offset"] > offset))
    return NO_STAMP if is_past.any() else NOT_REACHED
