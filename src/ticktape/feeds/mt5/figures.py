"""What a polled capture is told when it begins, and what it tells of itself."""

from collections.abc import Callable
from typing import NamedTuple

OnWritten = Callable[[int, int, int, int], None]
"""Called per block: from offset, to offset, monotonic ns after the write, entries."""


class PollConfig(NamedTuple):
    """What a polled capture needs to know besides its terminal and its books."""

    feed: str
    run: str
    books: tuple[str, ...]
    ticks: tuple[str, ...]
    tick_ns: int
    quiet_s: float
    backoff_max_s: float
    marks: int = 0
    killed: str = ""


class PollStatistics(NamedTuple):
    """Counters only grow; `state`, `words`, `change_ratio` and the gap's p99 are of now."""

    feed: str
    state: str
    words: str
    session: int
    frames: int
    bytes: int
    blocks: int
    last_recv_ns: int
    dropped_frames: int
    journal_state: str
    polls: int
    changed: int
    ticks: int
    change_ratio: float
    gap_p99_us: float
