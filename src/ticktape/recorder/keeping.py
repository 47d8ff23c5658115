"""Which segments of a run may go: what the config keeps, and whom nothing may be taken from.

Only who makes something durable pins segments: the table, the ledger, the healer with the gaps
that it has yet to heal, and a day that is over whose certificate is still to be made. Journals of
strategies and of the ledger are small, and are kept.
"""

from collections.abc import Callable, Collection, Iterator

import msgspec

from ticktape import clock
from ticktape.config import REST, JournalConfig
from ticktape.directory import RunDirectory
from ticktape.journal.position_file import load_positions
from ticktape.journal.retention import Candidate, Deleted, Pin, Retention
from ticktape.ledger.healing import HealBook
from ticktape.records import Position

DAY_NS = 86_400 * clock.NS_PER_S
_BEGINNING = Position(0, 0)
_AROUND_NS = 600 * clock.NS_PER_S  # what the healer looks at before a gap


class Keeper:
    """Deletes what a run need not keep.

    Args:
        directory: the run's.
        journals: names of the journals from which segments may go.
        healed: names of the feeds that are healed.
        config: what to keep.
    """

    def __init__(
        self,
        directory: RunDirectory,
        journals: Collection[str],
        healed: Collection[str],
        config: JournalConfig,
    ) -> None:
        self._directory = directory
        self._healed = healed
        self._keep_ns = int(config.keep_days * DAY_NS)
        self._keep_bytes = config.keep_bytes
        self._retentions = {name: Retention(directory.journal(name)) for name in journals}

    def delete(
        self, now_ns: int, pin: Callable[[int], Pin] | None = None
    ) -> Iterator[tuple[str, Deleted]]:
        """Delete what is too old, and then the oldest until there is no more than may be.

        `pin` is asked, with `now_ns`, for what else may not go of any journal.

        Yields each journal's name and what went. Age counts back from the newest entry of the run,
        or from `now_ns` if that is earlier: a clock that is ahead of time must delete nothing.

        Raises:
            OSError: the disk refused.
        """
        if not (self._keep_ns or self._keep_bytes):
            return
        more = [] if pin is None else [pin(now_ns)]
        may_go = {
            name: retention.candidates([*pins_of(self._directory, name, self._healed), *more])
            for name, retention in self._retentions.items()
        }
        if not any(may_go.values()):
            return
        if self._keep_ns:
            newest_ns = max(each.newest_ns() for each in self._retentions.values())
            before_ns = min(now_ns, newest_ns) - self._keep_ns
            for name, candidates in may_go.items():
                while candidates and candidates[0].last_ns < before_ns:
                    why = f"older than keep_days = {self._keep_ns / DAY_NS:g}"
                    yield name, self._delete(name, candidates, why, now_ns)
        total = sum(each.disk_bytes() for each in self._retentions.values())
        while self._keep_bytes and total > self._keep_bytes and any(may_go.values()):
            oldest = min((c[0].last_ns, name) for name, c in may_go.items() if c)[1]
            total -= may_go[oldest][0].disk_bytes
            why = f"more than keep_bytes = {self._keep_bytes}"
            yield oldest, self._delete(oldest, may_go[oldest], why, now_ns)

    def _delete(self, name: str, candidates: list[Candidate], why: str, now_ns: int) -> Deleted:
        return self._retentions[name].delete(candidates.pop(0).segment, why, now_ns)


def pins_of(directory: RunDirectory, name: str, healed: Collection[str]) -> list[Pin]:
    """Where they stand who must not fall off a feed's journal, or off that of what REST said.

    Whose file is not there, or cannot be read, stands at the beginning.
    """
    readers = ["table"] if name.endswith(REST) else ["table", "ledger"]
    pins = []
    for reader in readers:
        positions, _ = load_positions(directory.reader_file(reader))
        pins.append(Pin(positions.get(name, _BEGINNING)))
    feed = name.removesuffix(REST)
    if feed in healed:
        positions, counts = load_positions(directory.reader_file(f"heal-{feed}"))
        try:
            book = msgspec.convert(counts["book"], HealBook)
        except (KeyError, msgspec.ValidationError):
            return [*pins, Pin(_BEGINNING)]
        open_ns = min((gap.from_ns for gap in book.gaps.values()), default=1 << 63)
        pins.append(Pin(positions.get(name, _BEGINNING), open_ns - _AROUND_NS))
    return pins
