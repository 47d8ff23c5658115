"""The private ground truth: every data message put on every connection, and when.

It is what losslessness is proved against, so it must never be derived from what a client says. On
the hot path only ranges of rows are noted; columns are made from the tape later, off the event loop.

Written to a directory as `sent-<n>.parquet`, each complete when it has its name, and
`tape/<path>-<pass>/<kind>.parquet`, the rows of the tape themselves (a sent row's `kind_row` points there).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ticktape import clock
from ticktape.sim.lane import Lane
from ticktape.sim.tape import TAPE_KINDS, Ints, Tape

_TAPE_COLUMNS = [
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
TRUTH = pa.schema(
    [
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
)
"""The columns of the truth.

`seq` is private, from 0 over all connections. `frame` counts a connection's data frames from 0, `place`
the messages in one. `row` is the place in the tape over all its passes, -1 for what no tape held. `fault`
names the fault that touched the message, empty for none; `whole` is false when the frame was cut.
`kind` is `unknown` for messages that are no protocol's, whose `text` is then kept. For v1 the columns
exchange, conditions and tape hold the numbers of that protocol, as text.
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
}


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
    one_frame: bool
    fault: str
    whole: bool


class _Extra(NamedTuple):
    place: Place
    seq: int
    fault: str
    text: str


class Truth:
    """What was sent. Without a directory it stays in memory, with one it is written by `flush`."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self.messages = 0
        self._pending: list[_Rows | _Extra] = []
        self._parts: list[pa.Table] = []
        self._files = 0
        self._columns: dict[tuple[int, str], pa.Table] = {}
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
        one_frame: bool = False,
        fault: str = "",
        whole: bool = True,
    ) -> None:
        """Note that `place` got the `count` messages which `lane` hears of rows `start` to `stop`."""
        self._pending.append(
            _Rows(place, self.messages, lane, start, stop, played, one_frame, fault, whole)
        )
        self.messages += count

    def extra(self, place: Place, fault: str, text: str) -> None:
        """Note a message that stands in no tape."""
        self._pending.append(_Extra(place, self.messages, fault, text))
        self.messages += 1

    def flush(self) -> None:
        """Make columns of what was noted, and write them; may run in a thread, one at a time."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        tables = [
            self._expand(noted) if isinstance(noted, _Rows) else _unknown(noted)
            for noted in _merged(pending)
        ]
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

    def _expand(self, noted: _Rows) -> pa.Table:
        lane, place = noted.lane, noted.place
        tape = lane.encoded.tape
        rows = noted.start + np.flatnonzero(lane.heard[noted.start : noted.stop])
        count = len(rows)
        if lane.encoded.wire.joins:
            groups = np.zeros(count, np.int64) if noted.one_frame else rows // lane.batch
            begins = np.flatnonzero(np.diff(groups, prepend=-1))
            frames = np.cumsum(np.diff(groups, prepend=groups[:1]) > 0)
            places = np.arange(count) - begins[frames] if count else groups
        else:
            frames, places = np.arange(count), np.zeros(count, np.int64)
        columns = self._tape_columns(lane)
        picked = columns.slice(noted.start, noted.stop - noted.start)
        if count != len(picked):
            picked = columns.take(pa.array(rows))
        own = {
            "seq": noted.first_seq + np.arange(count),
            "path": pa.repeat(place.path, count),
            "connection": pa.repeat(place.connection, count),
            "frame": place.frame + frames,
            "place": places,
            "row": noted.played + rows,
            "kind_row": tape.kind_rows[rows],
            **{name: picked[name] for name, _ in _TAPE_COLUMNS},
            "sent_ns": pa.repeat(place.sent_ns, count),
            "sent_mono_ns": pa.repeat(place.sent_mono_ns, count),
            "fault": pa.repeat(noted.fault, count),
            "whole": pa.repeat(noted.whole, count),
            "text": pa.repeat("", count),
        }
        return pa.table(own, schema=TRUTH)

    def _tape_columns(self, lane: Lane) -> pa.Table:
        encoded = lane.encoded
        key = (id(encoded.tape), encoded.wire.name)
        if key not in self._columns:
            self._columns[key] = encoded.wire.wire_codes(tape_columns(encoded.tape))
        return self._columns[key]


def tape_columns(tape: Tape) -> pa.Table:
    """Return the truth's columns of all rows of a tape, in its order."""
    schema = pa.schema(_TAPE_COLUMNS)
    parts, places = [], []
    for kind, table in tape.tables.items():
        columns = {"kind": pa.repeat(kind, table.num_rows)}
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
    return pa.concat_tables(parts).take(pa.array(back)).combine_chunks()


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


def _merged(pending: list[_Rows | _Extra]) -> list[_Rows | _Extra]:
    # Rows noted one by one would cost a table each; but each note has a time of its own, so only
    # what was sent at one instant may be joined.
    return pending


def _unknown(noted: _Extra) -> pa.Table:
    place = noted.place
    values = {name: None for name, _ in _TAPE_COLUMNS} | {
        "seq": noted.seq,
        "path": place.path,
        "connection": place.connection,
        "frame": place.frame,
        "place": 0,
        "row": -1,
        "kind_row": -1,
        "kind": "unknown",
        "symbol": "",
        "sent_ns": place.sent_ns,
        "sent_mono_ns": place.sent_mono_ns,
        "fault": noted.fault,
        "whole": True,
        "text": noted.text,
    }
    return pa.Table.from_pylist([values], schema=TRUTH)
