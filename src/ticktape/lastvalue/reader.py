"""Last values read from the mapped file, by any process and without a server.

A reader never waits for the writer beyond a bound, never returns half of a record, and never a
value of another symbol: when the file was made anew while it read, it reads again.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from ticktape.clock import monotonic_ns
from ticktape.lastvalue import snapshot
from ticktape.lastvalue.books import slot_of
from ticktape.lastvalue.images import ImageReader
from ticktape.lastvalue.layout import (
    CELLS,
    EMPTY,
    FLAGS_AT,
    OWNER_BYTES,
    PAYLOAD_BYTES,
    VALID,
    WORD_COUNT,
    WORD_GENERATION,
    CellKind,
    decode_event_ns,
    decode_key,
    images_path,
)
from ticktape.lastvalue.mapfile import Mapping, open_for_reading
from ticktape.lastvalue.statistics import Statistics, load_statistics
from ticktape.lastvalue.value import KIND_NAMES, NAMES, LastValue

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# A deleted and recreated file shows only by its number in the folder: asked for at most this often,
# because asking (stat) costs as much as two reads.
LOOK_NS: Final = 100_000_000
_FILE_TRIES: Final = 5

_BOOK: Final = int(CellKind.BOOK)
_ORDER_BOOK: Final = int(CellKind.ORDER_BOOK)


class LastValues:
    """The last values of a run: `last["AAPL"].trade.price`.

    `last[symbol]` takes, kind by kind, the newest event over all feeds, but an order book that is
    valid before one that is not; `last[feed, symbol]` and
    `get(feed, symbol)` are of one feed. Iterating gives (feed, symbol) in order of first
    appearance. New symbols and a file made anew are seen by themselves (at the latest after 100
    ms); while there is no file there are no values. Not for use by two threads at once.
    """

    def __init__(self, path: Path, *, monotonic_ns: Callable[[], int] = monotonic_ns) -> None:
        self._path = path
        self._monotonic_ns = monotonic_ns
        self._mapping: Mapping | None = None
        self._images = ImageReader(images_path(path))
        self._generation = 0
        self._looked_ns = 0
        self._known = 0
        self._cells: dict[tuple[str, str], dict[int, int]] = {}
        self._feeds: dict[str, list[str]] = {}
        self.torn_reads = 0
        self.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the file; may be called twice. The next access maps it again."""
        if self._mapping is not None:
            self._mapping.close()
        self._images.close()
        self._mapping = None
        self._known = 0
        self._cells = {}
        self._feeds = {}

    def __len__(self) -> int:
        self._follow()
        return len(self._cells)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        self._follow()
        return iter(tuple(self._cells))

    def __contains__(self, key: object) -> bool:
        self._follow()
        return key in (self._feeds if isinstance(key, str) else self._cells)

    def __getitem__(self, key: str | tuple[str, str]) -> LastValue:
        """Values of a symbol, or of a (feed, symbol).

        Raises:
            KeyError: nothing of it ever came.
        """
        value = self.get(*key) if isinstance(key, tuple) else self._whole(key, None)
        if value is None:
            raise KeyError(key)
        return value

    def get(self, feed: str, symbol: str) -> LastValue | None:
        """Values of `symbol` on `feed`; None when nothing of it ever came."""
        return self._whole(symbol, feed)

    def snapshot(self) -> "pa.Table":
        """All values as Arrow, a row per (feed, symbol) in order of first appearance.

        Columns: `snapshot.SCHEMA`. Each cell is read whole, one after the other: two cells need not
        be of one moment. A kind that never came, or is torn, is null.
        """
        keys, payloads = self._read_all()
        return snapshot.table_of(keys, payloads)

    def array(self, kind: str) -> "np.ndarray":
        """All values of a kind as a structured NumPy array of its own; of "book" the tops.

        `kind` as in `LastValue.age_ns`. A row per (feed, symbol) that has one; texts are UTF-8
        bytes; `flags` are those of `layout`.
        """
        return snapshot.array_of(self._read_all()[1], KIND_NAMES[kind])

    def statistics(self) -> Statistics | None:
        """What the writer counted; None while there is no file. Our own: `torn_reads`."""
        self._follow()
        return None if self._mapping is None else load_statistics(self._mapping)

    def refresh(self) -> None:
        """Look at once whether the file is there, or another one; done by itself every 100 ms."""
        self._looked_ns = self._monotonic_ns()
        mapping = self._mapping
        if mapping is not None and mapping.words[WORD_GENERATION] == self._generation:
            try:
                status = self._path.stat()
            except FileNotFoundError:
                self.close()
                return
            if (status.st_dev, status.st_ino) == mapping.file_id:
                self._images.follow()
                return
        self.close()
        self._mapping = open_for_reading(self._path, CELLS)
        if self._mapping is not None:
            self._generation = self._mapping.words[WORD_GENERATION]

    def _follow(self) -> None:
        """Be on the present file, with all of its cells known."""
        mapping = self._mapping
        if (
            mapping is None
            or mapping.words[WORD_GENERATION] != self._generation
            or self._monotonic_ns() - self._looked_ns > LOOK_NS
        ):
            self.refresh()
            mapping = self._mapping
        if mapping is not None and mapping.words[WORD_COUNT] != self._known:
            self._learn_cells(mapping)

    def _learn_cells(self, mapping: Mapping) -> None:
        for cell in range(self._known, mapping.words[WORD_COUNT]):
            # A key is there before its cell counts and never changes, also in a cell that is torn.
            payload = mapping.load_cell(cell) or mapping.peek_cell(cell)[1]
            feed, symbol, kind = decode_key(payload)
            if not feed or not symbol:
                # A machine that reorders stores showed the count first: look again next time.
                return
            cells = self._cells.setdefault((feed, symbol), {})
            if not cells:
                self._feeds.setdefault(symbol, []).append(feed)
            cells[kind] = cell
            self._known = cell + 1

    def _whole(self, symbol: str, feed: str | None) -> LastValue | None:
        """Values of one feed or (None) of all, read again when the file was made anew meanwhile."""
        for _ in range(_FILE_TRIES):
            self._follow()
            mapping = self._mapping
            if mapping is None:
                return None
            feeds = self._feeds.get(symbol, ()) if feed is None else (feed,)
            value = self._read(mapping, feeds, symbol)
            if mapping.words[WORD_GENERATION] == self._generation:
                return value
        return None

    def _read(self, mapping: Mapping, feeds: Sequence[str], symbol: str) -> LastValue | None:
        payloads: dict[int, bytes] = {}
        present: list[str] = []
        torn: tuple[str, ...] = ()
        for feed in feeds:
            cells = self._cells.get((feed, symbol))
            if cells is None:
                continue
            present.append(feed)
            for kind, cell in cells.items():
                payload = mapping.load_cell(cell)
                if payload is None:
                    self.torn_reads += 1
                    torn = (*torn, NAMES.get(kind, str(kind)))
                elif not payload[FLAGS_AT] & EMPTY:
                    held = payloads.get(kind)
                    if held is None or _rank(kind, payload) > _rank(kind, held):
                        payloads[kind] = payload
        if not present:
            return None
        images: dict[int, bytes] = {}
        for kind in (_BOOK, _ORDER_BOOK):
            if kind in payloads and not self._read_image(kind, payloads, images):
                torn = (*torn, NAMES[kind]) if NAMES[kind] not in torn else torn
        return LastValue(symbol, tuple(present), payloads, torn, images)

    def _read_image(self, kind: int, payloads: dict[int, bytes], images: dict[int, bytes]) -> bool:
        """Put the image of a book's cell in `payloads` into `images`; False when it is torn."""
        cell = payloads[kind]
        is_torn, image = self._images.load(slot_of(cell), cell[:OWNER_BYTES])
        if image is None or image[FLAGS_AT] & EMPTY:
            self.torn_reads += is_torn
            return not is_torn
        # Written before its cell and read after it, it may be the next image: with it goes its top.
        payloads[kind] = image[:PAYLOAD_BYTES]
        images[kind] = image
        return True

    def _read_all(self) -> tuple[tuple[tuple[str, str], ...], dict[int, dict[int, bytes]]]:
        """Keys, and per kind the payloads by number of the key."""
        for _ in range(_FILE_TRIES):
            self.refresh()
            self._follow()
            mapping = self._mapping
            payloads: dict[int, dict[int, bytes]] = {}
            if mapping is None:
                return (), payloads
            for row, cells in enumerate(self._cells.values()):
                for kind, cell in cells.items():
                    payload = mapping.load_cell(cell)
                    if payload is None:
                        self.torn_reads += 1
                    elif not payload[FLAGS_AT] & EMPTY:
                        payloads.setdefault(kind, {})[row] = payload
            if mapping.words[WORD_GENERATION] == self._generation:
                return tuple(self._cells), payloads
        return (), {}


def _rank(kind: int, payload: bytes) -> tuple[bool, int]:
    """The greater one is shown of a symbol that several feeds have."""
    is_book = kind == _ORDER_BOOK and bool(payload[FLAGS_AT] & VALID)
    return is_book, decode_event_ns(payload)
