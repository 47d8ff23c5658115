"""What the ledger keeps over a restart: where it stands, and what stood then.

The position file is saved now and then, and only once what the ledger wrote up to then is synced in
its own journal. What it wrote since is read there again, so that after a crash between the two no
row is counted twice.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ticktape.directory import LEDGER
from ticktape.journal.position_file import load_positions, save_positions
from ticktape.journal.reader import Reader
from ticktape.ledger.counting import End, plus
from ticktape.ledger.entries import (
    Counts,
    Damaged,
    LedgerEntry,
    Place,
    Suspect,
    read_ledger_entry,
)
from ticktape.ledger.feedwatch import SessionState
from ticktape.records import Position

BEGINNING = Position(0, 0)
_READ_BYTES = 4 << 20


class Memory(msgspec.Struct):
    """What is kept.

    `positions` and `totals` (kind -> rows since the journal's beginning) are by feed; `own` is the
    end of the ledger's journal as it was then; `suspects` are the suspicions without an end.
    `ends` say of each feed's position which entry is the next, and when the last one came;
    `last_ns` when the newest came that was seen, `damaged` behind which places damage was told of.
    """

    positions: dict[str, Position] = {}
    own: Position = BEGINNING
    totals: dict[str, dict[str, int]] = {}
    suspects: list[Suspect] = []
    sessions: dict[str, SessionState] = {}
    ends: dict[str, End] = {}
    last_ns: dict[str, int] = {}
    damaged: dict[str, Place] = {}

    def take(self, entry: LedgerEntry) -> None:
        """Go on by what an entry of the ledger's journal says."""
        if isinstance(entry, Counts):
            self.positions[entry.feed] = Position(*entry.until)
            self.ends.pop(entry.feed, None)  # of another place
            self.last_ns[entry.feed] = max(self.last_ns.get(entry.feed, 0), entry.minute_ns)
            self.totals[entry.feed] = plus(self.totals.get(entry.feed, {}), entry.kinds)
        elif isinstance(entry, Damaged):
            self.damaged[entry.feed] = max(self.damaged.get(entry.feed, (0, 0)), entry.until)
        elif isinstance(entry, Suspect):
            key = _key(entry)
            self.suspects = [each for each in self.suspects if _key(each) != key]
            if entry.gap.to_ns is None:
                self.suspects.append(entry)

    def save(self, path: Path) -> None:
        """Replace the file at `path`.

        Raises:
            OSError: the disk refused; the file is the old or the new one.
        """
        counts: dict[str, Any] = {
            "totals": self.totals,
            "suspects": msgspec.to_builtins(self.suspects),
            "sessions": msgspec.to_builtins(self.sessions),
            "ends": msgspec.to_builtins(self.ends),
            "last_ns": self.last_ns,
            "damaged": self.damaged,
        }
        save_positions(path, self.positions | {LEDGER: self.own}, counts)


def load_memory(path: Path, open_own: Callable[[Position], Reader]) -> Memory:
    """The memory as the position file and, beyond it, the ledger's own journal say.

    `open_own` opens that journal's files at a position, when all of it is on the disk. An
    unreadable file is no fault: the journal says it all.
    """
    memory = _saved(path)
    with open_own(memory.own) as own:
        while blocks := own.read(_READ_BYTES):
            for block in blocks:
                for kind, payload in block.entries():
                    entry = read_ledger_entry(kind, payload)
                    if entry is not None:
                        memory.take(entry)
        memory.own = own.position
    return memory


def _saved(path: Path) -> Memory:
    positions, counts = load_positions(path)
    if LEDGER not in positions:
        return Memory()
    try:
        memory: Memory = msgspec.convert(counts, Memory)
    except msgspec.ValidationError:
        return Memory()
    memory.own = positions.pop(LEDGER)
    memory.positions = positions
    return memory


def _key(suspect: Suspect) -> tuple[str, str, int]:
    return suspect.feed, suspect.gap.symbol, suspect.gap.from_ns
