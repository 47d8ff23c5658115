"""The private ground truth: every data message put on every connection, and when.

It is what losslessness is proved against, so it must never be derived from what a client says. On
the hot path only ranges of rows are noted; columns are made from the tape later, in a thread.

Written to a directory as `sent-<n>.parquet`, each complete when it has its name, and as
`tape/<path>-<pass>/<kind>.parquet`, the rows of the tape (where a sent row's `kind_row` points).
"""

import itertools
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ticktape import clock
from ticktape.records import CryptoBook
from ticktape.sim.jsontext import row_numbers
from ticktape.sim.lane import Lane
from ticktape.sim.orderbooks import WholeBook
from ticktape.sim.tape import TAPE_KINDS, Ints, Tape
from ticktape.sim.wire_v2 import JsonV2

_TAPE_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("kind", pa.string()),
    ("symbol", pa.string()),
    ("event_ns", pa.int64()),
    ("exchange", pa.string()),
    ("id", pa.int64()),
    ("price", pa.float64()),
    ("size", pa.float64()),
    ("conditions", pa.string()),
    ("tape", pa.string()),
]
_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("seq", pa.int64()),
    ("path", pa.string()),
    ("connection", pa.int64()),
    ("frame", pa.int64()),
    ("place", pa.int64()),
    ("row", pa.int64()),
    ("kind_row", pa.int64()),
    *_TAPE_COLUMNS,
    ("sent_ns", pa.int64()),
    ("sent_mono_ns", pa.int64()),
    ("fault", pa.string()),
    ("whole", pa.bool_()),
    ("text", pa.string()),
]
TRUTH = pa.schema(_COLUMNS)
"""The columns of the truth.

`seq` is private, from 0 over all connections. `frame` counts a connection's data frames from 0,
`place` the messages in one. `row` is the place in the tape over all its passes, -1 for what no tape
held. `fault` names the fault that touched the message, empty for none; `whole` is false when the
frame was cut, spoilt beyond reading, or never left. What stands in no tape has its frame as `text`:
messages that are no protocol's, of `kind` `unknown`, and the whole order books that a new listener
gets, always as JSON. Of a quote `exchange` is the bid's. For v1 the columns exchange, conditions
and tape hold the numbers of that protocol, as text.
"""

_FROM_KIND = {
    "trades": {name: name for name, _ in _TAPE_COLUMNS[1:]},
    "quotes": {"exchange": "bid_exchange", "conditions": "conditions", "tape": "tape"},
    "bars": {},
    "corrections": {
        "exchange": "exchange",
        "id": "original_id",
        "price": "original_price",
        "size": "original_size",
        "conditions": "original_conditions",
        "tape": "tape",
    },
    "cancels": {name: name for name in ("exchange", "id", "price", "size", "tape")},
    "statuses": {"tape": "tape"},
    "lulds": {"tape": "tape"},
    "imbalances": {"price": "price", "tape": "tape"},
    "crypto_books": {},
    "news": {"id": "id"},
}


TAPES_KEPT = 8  # with their columns in memory; an endlessly repeated tape is a new one each time


class Place(NamedTuple):
    """Where and when something was sent: on which connection, from which of its frames on."""

    path: str
    connection: int
    frame: int
    sent_ns: int
    sent_mono_ns: int


class _Rows(NamedTuple):
    place: Place
    first_seq: int
    lane: Lane
    start: int
    stop: int
    played: int  # rows of the passes before this one
    fault: str
    whole: bool


class _Extra(NamedTuple):
    place: Place
    seq: int
    fault: str
    text: str
    kind: str = "unknown"
    symbol: str = ""
    event_ns: int | None = None


class Truth:
    """What was sent. Without a directory it stays in memory, with one it is written by `flush`."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self.messages = 0
        self._pending: deque[_Rows | _Extra] = deque()
        self._writing = threading.Lock()
        self._parts: list[pa.Table] = []
        self._files = 0
        self._columns: OrderedDict[tuple[Tape, str], pa.Table] = OrderedDict()
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)

    def note_tape(self, path: str, number: int, tape: Tape) -> None:
        """Keep the rows of a tape that will be played on `path`, in its pass `number`."""
        if self.directory is None:
            return
        folder = self.directory / "tape" / f"{path.strip('/').replace('/', '-')}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        for kind, table in tape.tables.items():
            pq.write_table(table, folder / f"{kind}.parquet", compression="zstd")

    def rows(
        self,
        place: Place,
        lane: Lane,
        start: int,
        stop: int,
        count: int,
        *,
        played: int = 0,
        fault: str = "",
        whole: bool = True,
    ) -> None:
        """Note that `place` got the `count` messages that `lane` hears of `start` to `stop`."""
        self._pending.append(_Rows(place, self.messages, lane, start, stop, played, fault, whole))
        self.messages += count

    def extra(self, place: Place, fault: str, text: str) -> None:
        """Note a message that stands in no tape."""
        self._pending.append(_Extra(place, self.messages, fault, text))
        self.messages += 1

    def book(self, place: Place, book: WholeBook) -> None:
        """Note a whole order book that was made for one listener."""
        text = JsonV2().book(book).decode()
        about = (CryptoBook.kind, book.symbol, book.event_ns)
        self._pending.append(_Extra(place, self.messages, "", text, *about))
        self.messages += 1

    def flush(self) -> None:
        """Make columns of all that was noted so far, and keep or write them; in any thread."""
        with self._writing:
            # One by one from the left: the event loop may append meanwhile.
            pending = [self._pending.popleft() for _ in range(len(self._pending))]
            if pending:
                self._write(pending)

    def _write(self, pending: "list[_Rows | _Extra]") -> None:
        tables = [self._expand(notes) for notes in _same_lane(pending)]
        table = pa.concat_tables(tables)
        if self.directory is None:
            self._parts.append(table)
            return
        target = self.directory / f"sent-{self._files:06d}.parquet"
        self._files += 1
        written = target.with_suffix(".tmp")
        pq.write_table(table, written, compression="zstd", compression_level=1)
        written.replace(target)

    def table(self) -> pa.Table:
        """Return everything noted so far as one table, in the order of `seq`."""
        self.flush()
        if self.directory is not None:
            return read_truth(self.directory)
        return pa.concat_tables(self._parts) if self._parts else TRUTH.empty_table()

    def _expand(self, notes: list[_Rows] | list[_Extra]) -> pa.Table:
        first = notes[0]
        if isinstance(first, _Extra):
            return _extra(first)
        noted = [note for note in notes if isinstance(note, _Rows)]
        lane, tape = first.lane, first.lane.encoded.tape
        rows, of_note = _heard_rows(lane, noted)
        starts = _begins(of_note)
        if lane.encoded.wire.joins:
            frame_begins = _begins(of_note, rows // lane.batch)
        else:
            frame_begins = np.arange(len(rows))
        # Which frame since the note's first: how many frames began after the note did.
        begun = np.cumsum(frame_begins == np.arange(len(rows)))
        frames = np.array([note.place.frame for note in noted])[of_note] + begun - begun[starts]
        seqs = np.array([note.first_seq for note in noted])[of_note]
        picked = self._tape_columns(lane).take(row_numbers(rows))
        of = row_numbers(of_note)
        own = {
            "seq": seqs + np.arange(len(rows)) - starts,
            "path": pa.array([note.place.path for note in noted]).take(of),
            "connection": pa.array([note.place.connection for note in noted]).take(of),
            "frame": frames,
            "place": np.arange(len(rows)) - frame_begins,
            "row": np.array([note.played for note in noted])[of_note] + rows,
            "kind_row": tape.kind_rows[rows],
            **{name: picked[name] for name, _ in _TAPE_COLUMNS},
            "sent_ns": pa.array([note.place.sent_ns for note in noted]).take(of),
            "sent_mono_ns": pa.array([note.place.sent_mono_ns for note in noted]).take(of),
            "fault": pa.array([note.fault for note in noted]).take(of),
            "whole": pa.array([note.whole for note in noted]).take(of),
            "text": pa.repeat("", len(rows)),
        }
        return pa.table(own, schema=TRUTH)

    def _tape_columns(self, lane: Lane) -> pa.Table:
        encoded = lane.encoded
        key = (encoded.tape, encoded.wire.name)
        if key not in self._columns:
            self._columns[key] = encoded.wire.wire_codes(tape_columns(encoded.tape))
            if len(self._columns) > TAPES_KEPT:
                self._columns.popitem(last=False)
        return self._columns[key]


def tape_columns(tape: Tape) -> pa.Table:
    """Return the truth's columns of all rows of a tape, in its order."""
    schema = pa.schema(_TAPE_COLUMNS)
    parts, places = [], []
    for kind, table in tape.tables.items():
        columns: dict[str, Any] = {"kind": pa.repeat(kind, table.num_rows)}
        for name in ("symbol", "event_ns"):
            columns[name] = table[name]
        for name in schema.names[3:]:
            source = _FROM_KIND[kind].get(name)
            columns[name] = table[source] if source else pa.nulls(table.num_rows)
        parts.append(pa.table(columns).select(schema.names).cast(schema))
        places.append(np.flatnonzero(tape.kind_codes == TAPE_KINDS.index(kind)))
    if not parts:
        return schema.empty_table()
    back: Ints = np.empty(len(tape), np.int64)
    back[np.concatenate(places)] = np.arange(len(tape))
    return pa.concat_tables(parts).take(row_numbers(back)).combine_chunks()


def read_truth(directory: Path) -> pa.Table:
    """Return what a simulator wrote to `directory` as one table, in the order of `seq`."""
    files = sorted(directory.glob("sent-*.parquet"))
    if not files:
        return TRUTH.empty_table()
    return pa.concat_tables([pq.read_table(file, schema=TRUTH) for file in files]).sort_by("seq")


def now(path: str, connection: int, frame: int, wall: clock.WallClock) -> Place:
    """Return the place of what is sent now."""
    mono_ns = clock.monotonic_ns()
    return Place(path, connection, frame, wall.wall_at(mono_ns), mono_ns)


def _same_lane(pending: list[_Rows | _Extra]) -> Iterator[list[_Rows] | list[_Extra]]:
    # One table for all notes of a lane in a row: a table each would cost more than the sending.
    for key, notes in itertools.groupby(pending, lambda note: getattr(note, "lane", note)):
        yield [note for note in notes if isinstance(note, _Rows)] or [
            note for note in [key] if isinstance(note, _Extra)
        ]


def _heard_rows(lane: Lane, noted: list[_Rows]) -> tuple[Ints, Ints]:
    """Return the rows that were heard, note by note, and of which note each is."""
    rows = np.concatenate([np.arange(note.start, note.stop) for note in noted])
    of_note = np.repeat(np.arange(len(noted)), [note.stop - note.start for note in noted])
    heard = lane.heard[rows]
    return rows[heard], of_note[heard]


def _begins(*keys: Ints) -> Ints:
    """Return for each place where the run of equal keys that it is in begins."""
    count = len(keys[0])
    new = np.zeros(count, np.bool_)
    new[:1] = True
    for key in keys:
        new[1:] |= key[1:] != key[:-1]
    begins: Ints = np.maximum.accumulate(np.where(new, np.arange(count), 0))
    return begins


def _extra(noted: _Extra) -> pa.Table:
    place = noted.place
    values = {name: None for name, _ in _TAPE_COLUMNS} | {
        "seq": noted.seq,
        "path": place.path,
        "connection": place.connection,
        "frame": place.frame,
        "place": 0,
        "row": -1,
        "kind_row": -1,
        "kind": noted.kind,
        "symbol": noted.symbol,
        "event_ns": noted.event_ns,
        "sent_ns": place.sent_ns,
        "sent_mono_ns": place.sent_mono_ns,
        "fault": noted.fault,
        "whole": True,
        "text": noted.text,
    }
    return pa.Table.from_pylist([values], schema=TRUTH)
