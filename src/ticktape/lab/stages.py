"""The stages that all layouts are made of: acquire -> pack -> save; see `packing` for a capture."""

import errno
import json
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ticktape import clock, mt5
from ticktape.config import Keys
from ticktape.errors import Full, JournalError
from ticktape.lab.packing import Capture, pack
from ticktape.lab.results import Threshold
from ticktape.lab.saving import FileWriter
from ticktape.lab.source import Place, Rows, open_source
from ticktape.lab.tally import OVER, READY, Slot, Tally

FILES = "files"
TALLY = "tally.map"
_WAIT_S = 0.002
_IMBALANCE_LEVELS = 10

Defect = Callable[[bytes], Sequence[bytes]]
"""What a test plants between packing and saving: the captures to go on with."""


class Task(NamedTuple):
    """What every process of a cell is told.

    `keys` are those of a venue; `defect` is MODULE:NAME of a Defect, "" for none.
    """

    folder: Path
    source: Place
    busy: bool
    format: str
    threshold: Threshold
    roles: tuple[str, ...]
    keys: Keys | None = None
    defect: str = ""


def parse(rows: Rows) -> bytes:
    """What a strategy next to the poll would do with a book: `--acquirer busy` pays for it."""
    if isinstance(rows, bytes):
        return json.dumps(json.loads(rows)).encode()
    asks = [(row[1], row[3]) for row in rows if row[0] in mt5.ASK_TYPES]  # type: ignore[attr-defined]
    bids = [(row[1], row[3]) for row in rows if row[0] in mt5.BID_TYPES]  # type: ignore[attr-defined]
    asks.sort()
    bids.sort(reverse=True)
    bid, ask = bids[0][0] if bids else 0.0, asks[0][0] if asks else 0.0
    near_bid = sum(volume for _, volume in bids[:_IMBALANCE_LEVELS])
    near_ask = sum(volume for _, volume in asks[:_IMBALANCE_LEVELS])
    known = {
        "bid": bid,
        "ask": ask,
        "spread": ask - bid,
        "bid_depth": sum(volume for _, volume in bids),
        "ask_depth": sum(volume for _, volume in asks),
        "imbalance": (near_bid - near_ask) / (near_bid + near_ask or 1.0),
    }
    return json.dumps(known).encode()


class Stage:
    """What a process of a layout has at hand: acquiring, and holding until a threshold.

    One thread may acquire and another hold.
    """

    def __init__(self, task: Task, role: str, tally: Tally) -> None:
        self.task = task
        self.role = role
        self.tally = tally
        self.slot: Slot = tally.slots[task.roles.index(role)]
        self._files = FileWriter(task.folder / FILES, task.format, stream=task.source.is_stream)
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._saved_ns = 0
        self._saved = 0
        self._through = _load(task.defect)

    def captures(self, leg: int = 0) -> Iterator[Capture]:
        """Acquire until the stop; the first one waits for the word to go.

        One more follows the stop, so that the gap in which it came has its end.

        Raises:
            TickTapeError: the source cannot be opened, or is gone.
        """
        source = open_source(self.task.source, self.task.folder, self.task.keys)
        slot, tally, busy = self.slot, self.tally, self.task.busy
        slot.state = READY
        while not (tally.go or tally.stop):
            clock.sleep_s(_WAIT_S)
        sequence = 0
        stopping = False
        try:
            while not stopping:
                stopping = tally.stop
                polled = source.poll()
                if polled is None:
                    continue
                before_ns, after_ns, rows = polled
                if busy:
                    parse(rows)
                # Counted before it goes anywhere: from here on it can be lost.
                slot.last_after_ns = after_ns
                slot.acquired = sequence + 1
                yield sequence, leg, before_ns, after_ns, rows
                sequence += 1
        finally:
            source.close()

    def ready(self) -> None:
        """Say that this process, which does not acquire, waits for its first capture."""
        self.slot.state = READY

    def prepare_files(self) -> None:
        """Load what saving needs, before the first capture; for the process that saves."""
        self._files.prepare()

    def is_over(self, role: str) -> bool:
        """Whether another process of the cell is at its end, or was killed."""
        return self.tally.slots[self.task.roles.index(role)].state == OVER

    def fail_journal(self, error: JournalError) -> None:
        """Say that the disk refused a journal's block: the cell ends then."""
        number = errno.ENOSPC if isinstance(error, Full) else errno.EIO
        self.slot.fail(number, str(error.args[0]))

    def pack(self, capture: Capture) -> bytes:
        """As `pack`, counted."""
        packed = pack(capture)
        self.slot.packed += 1
        return packed

    def hold(self, packed: bytes) -> None:
        """Keep a packed capture; at the threshold save all that are held, and drop them.

        Raises:
            OSError: the disk refuses.
        """
        if self._through is not None:
            for each in self._through(packed):
                self._hold(each)
        else:
            self._hold(packed)

    def _hold(self, packed: bytes) -> None:
        self._held.append(packed)
        self._held_bytes += len(packed)
        self.slot.held_bytes = self._held_bytes
        threshold = self.task.threshold
        if threshold.seconds:
            now_ns = clock.monotonic_ns()
            self._saved_ns = self._saved_ns or now_ns
            is_full = now_ns - self._saved_ns >= threshold.seconds * clock.NS_PER_S
        else:
            is_full = self._held_bytes >= threshold.bytes
        if is_full:
            self.slot.flushes += 1
            self.save()

    def save(self) -> None:
        """Save what is held, if there is anything, as one file; at a flush, and at the end.

        Raises:
            OSError: the disk refuses.
        """
        if self._held:
            self._files.write(self._held)
            self._saved += len(self._held)
            self.slot.saved = self._saved
            self.slot.files += 1
        self._saved_ns = clock.monotonic_ns()
        self._held, self._held_bytes = [], 0
        self.slot.held_bytes = 0


def _load(name: str) -> Defect | None:
    """A defect by its name: only tests have any."""
    if not name:
        return None
    module, _, attribute = name.partition(":")
    defect: Any = getattr(import_module(module), attribute)
    made: Defect = defect()
    return made
