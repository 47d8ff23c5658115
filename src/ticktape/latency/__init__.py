"""Every entry's way through the recorder, in time: stamps per batch, joined with the journal's own.

    rowfile     small fixed rows appended to a file per process start, and per 16 MiB
    stagelog    what a stage did: which positions, and when
    pauselog    what stood in the way: GC, fsync, scheduler
    rowreading  both of them, read back
    histogram   log-linear buckets
    blockindex  the journal's block headers as columns
    join        rows and blocks -> when each block reached a stage first
    report      percentiles per stage, and the slowest batches with their cause
    trace       the way of one entry

A stage writes 40 bytes per batch and nothing per entry; nothing here may slow or stop the stage
that it measures. What writes rows is imported without NumPy, so that a capture process starts in a
moment; the rest comes when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ticktape.latency.pauselog import PauseKind, PauseLog
from ticktape.latency.rowfile import RunId
from ticktape.latency.stagelog import STAGES, StageLog

if TYPE_CHECKING:
    from ticktape.latency.blockindex import BlockIndex
    from ticktape.latency.histogram import Histogram
    from ticktape.latency.report import LatencyReport, SlowBatch
    from ticktape.latency.rowreading import ROWS_MAX, read_pauses, read_rows, read_stages
    from ticktape.latency.trace import Step, path_of

__all__ = [
    "ROWS_MAX",
    "STAGES",
    "BlockIndex",
    "Histogram",
    "LatencyReport",
    "PauseKind",
    "PauseLog",
    "RunId",
    "SlowBatch",
    "StageLog",
    "Step",
    "path_of",
    "read_pauses",
    "read_rows",
    "read_stages",
]

_HOMES = {
    "ROWS_MAX": "rowreading",
    "BlockIndex": "blockindex",
    "Histogram": "histogram",
    "LatencyReport": "report",
    "SlowBatch": "report",
    "Step": "trace",
    "path_of": "trace",
    "read_pauses": "rowreading",
    "read_rows": "rowreading",
    "read_stages": "rowreading",
}


def __getattr__(name: str) -> object:
    """Import what needs NumPy when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
