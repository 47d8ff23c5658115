"""One wire decoding, two projections: records one at a time, and Arrow tables in bulk.

What a venue's module says of its wire (`Wire`) is used by both, so that they cannot differ. Nothing
that a venue sends may raise here: what cannot be read becomes a row of `unknown`, and its
neighbours in the frame stay.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from ticktape.decoders.frames import Frames, Unreadable, unreadable
from ticktape.decoders.instants import Column
from ticktape.decoders.origin import Origin, origin_of
from ticktape.decoders.session import GAPS
from ticktape.records import EntryKind, Gap, Record
from ticktape.schemas import KINDS

# Measured on 200,000 trades: from 2,000 to 16,000 messages a chunk made no difference; at 200,000
# the columns fell out of the cache and the conversion took half as long again.
CHUNK_MESSAGES = 8_000

_LAST_DATA_KIND = EntryKind.BINARY  # TEXT and BINARY are what the venue sent


class DecodedCounts(NamedTuple):
    """What one call of `decode` or `tables` saw.

    `messages` counts data messages, the unknown ones among them, and equals the rows in
    MARKET_KINDS.
    """

    messages: int
    control: int
    unknown: int
    malformed_sessions: int


class BlockLike(Protocol):
    """What a decoder needs of a journal's block."""

    @property
    def epoch(self) -> int:
        """The start of the writer that wrote it."""

    @property
    def seq(self) -> int:
        """Number of the first entry."""

    @property
    def recv_ns(self) -> int:
        """Our wall clock at the socket read."""

    def entries(self) -> list[tuple[int, bytes]]:
        """Kind and payload of every entry, in order."""


Reader: TypeAlias = Callable[[bytes], list[Any]]
"""Reads all messages of a whole frame in order.

Raises ValueError or RecursionError when not all of it could be read.
"""


Brief: TypeAlias = dict[str, Column]
"""Some columns of a kind by their names, `symbol` and `event_ns` among them."""


class Shape(NamedTuple):
    """How one kind of wire message becomes a record and columns.

    `record(wire, feed, recv_ns, epoch, seq, index)` and `columns(wires)` raise ValueError for what
    the first decoding let through (times and conditions are read here). `columns` gives symbol,
    event_ns and then the kind's own columns in the schema's order; it takes messages of all types
    of the kind, mixed. `brief(wires)`, for kinds that come in masses, gives only what the ledger
    looks at, and raises for exactly the messages for which `columns` does. `records(wires, feed,
    recv_ns, epoch, seq)`, for such kinds, too, makes those of a whole frame of one type as `record`
    does of each message.
    """

    kind: str
    record: Callable[[Any, str, int, int, int, int], Record]
    columns: Callable[[list[Any]], list[Column]]
    brief: Callable[[list[Any]], Brief] | None = None
    records: Callable[[list[Any], str, int, int, int], list[Record]] | None = None


class Wire(Protocol):
    """A venue's grammar. `shapes` maps the types that `reads` give to what they become.

    `reads` has one reader for each kind of entry, EntryKind.TEXT and EntryKind.BINARY. Messages of
    the types `controls` steer the session and carry no data: they are counted and make no row.
    """

    @property
    def reads(self) -> tuple[Reader, Reader]:
        """The readers of text and of binary frames."""

    @property
    def shapes(self) -> Mapping[type, Shape]:
        """Type of wire message -> how it becomes rows."""

    @property
    def controls(self) -> frozenset[type]:
        """Types of wire messages that make no row."""

    def salvage(self, payload: bytes, reason: str) -> list[Any]:
        """All messages of a frame that a reader refused, with Unreadables; never raises."""

    def text(self, payload: bytes, index: int) -> bytes:
        """The message at `index` of a frame whose messages could be told apart, as text to read.

        Never raises.
        """


class Projection:
    """Decodes blocks of one feed; `counts` are those of the last call.

    With `is_brief` the tables of a kind whose Shape has a `brief` have only its columns, `recv_ns`
    and `seq`; they have the same rows.
    """

    def __init__(self, feed: str, wire: Wire, *, is_brief: bool = False) -> None:
        self.feed = feed
        self._counts: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._wire = wire
        self._reads = wire.reads
        self._last_data_kind = int(_LAST_DATA_KIND)  # an enum is three times as slow to compare
        self._records = {made: shape.record for made, shape in wire.shapes.items()}
        many = {made: each.records for made, each in wire.shapes.items() if each.records}
        self._frames = Frames(feed, wire, self._records, many)
        self._kind_of = {made: shape.kind for made, shape in wire.shapes.items()}
        self._kind_of[Unreadable] = "unknown"
        self._kind_of |= dict.fromkeys(wire.controls, "")
        self._columns = {shape.kind: shape.columns for shape in wire.shapes.values()}
        self._columns["unknown"] = _unknown_columns
        self._briefs = {
            shape.kind: shape.brief
            for shape in wire.shapes.values()
            if is_brief and shape.brief is not None
        }

    @property
    def counts(self) -> DecodedCounts:
        """What the last call of `decode` or `tables` saw."""
        return DecodedCounts(*self._counts)  # made when asked for: most blocks' are not

    def decode(self, block: BlockLike) -> list[Record]:
        """Turn a block into records, in the order of its entries and of the messages in them."""
        recv_ns, epoch, seq = block.recv_ns, block.epoch, block.seq - 1
        reads, makers, last = self._reads, self._records, self._last_data_kind
        found: list[Record] = []
        control = unknown = malformed = gap_count = 0
        for kind, payload in block.entries():
            seq += 1
            if kind > last:
                gaps = self._gaps(kind, payload, recv_ns, epoch, seq)
                if gaps is None:
                    malformed += 1
                else:
                    gap_count += len(gaps)
                    found += gaps
                continue
            try:
                messages = reads[kind](payload)
            except (ValueError, RecursionError) as error:
                messages = self._wire.salvage(payload, str(error))
            if len(messages) == 1 and (make := makers.get(messages[0].__class__)) is not None:
                # Most frames that are not full. With no call between: a strategy waits for this.
                try:
                    found.append(make(messages[0], self.feed, recv_ns, epoch, seq, 0))
                    continue
                except ValueError:
                    pass  # it is told below what is wrong with it
            elif (together := self._frames.together(messages, recv_ns, epoch, seq)) is not None:
                found += together
                continue
            others = self._frames.one_by_one(messages, payload, found, (recv_ns, epoch, seq))
            control, unknown = control + others[0], unknown + others[1]
        self._counts = (len(found) - gap_count, control, unknown, malformed)
        return found

    def tables(self, blocks: Iterable[BlockLike]) -> dict[str, pa.Table]:
        """Turn blocks into a table per kind that has rows, in the columns of `schemas.KINDS`.

        Rows stand in the order of the journal and equal those of `decode`, field for field.
        """
        batches: dict[str, list[pa.RecordBatch]] = {}
        gaps: list[Gap] = []
        control = malformed = 0
        coming = iter(blocks)
        while True:
            chunk = _Chunk()
            for block in self._gather(coming, chunk):
                said = self._gaps_of(block)
                malformed += said.count(None)
                gaps += [gap for each in said for gap in each or ()]
            if not chunk.blocks:
                break
            control += self._flush(chunk, batches)
        made = {kind: pa.Table.from_batches(batches[kind]) for kind in KINDS if kind in batches}
        rows = sum(table.num_rows for table in made.values())
        unknown = made["unknown"].num_rows if "unknown" in made else 0
        if gaps:
            made["gaps"] = table_of("gaps", gaps)
        self._counts = (rows, control, unknown, malformed)
        return made

    def _gather(self, blocks: Iterator[BlockLike], chunk: "_Chunk") -> list[BlockLike]:
        """Read blocks until the chunk is full; give those that hold entries of our own."""
        reads, last = self._wire.reads, int(_LAST_DATA_KIND)
        messages, counts, sizes = chunk.messages, chunk.counts, chunk.sizes
        own: list[BlockLike] = []
        for block in blocks:
            entries = block.entries()
            chunk.blocks.append(block)
            sizes.append(len(entries))
            for kind, payload in entries:
                if kind > last:
                    counts.append(0)
                    if not own or own[-1] is not block:
                        own.append(block)
                    continue
                try:
                    found = reads[kind](payload)
                except (ValueError, RecursionError) as error:
                    found = self._wire.salvage(payload, str(error))
                messages += found
                counts.append(len(found))
            if len(messages) >= CHUNK_MESSAGES:
                break
        return own

    def _gaps_of(self, block: BlockLike) -> list[list[Gap] | None]:
        """The gaps that each entry of our own tells of; None for one that cannot be read."""
        return [
            self._gaps(kind, payload, block.recv_ns, block.epoch, seq)
            for seq, (kind, payload) in enumerate(block.entries(), block.seq)
            if kind > _LAST_DATA_KIND
        ]

    def _gaps(
        self, kind: int, payload: bytes, recv_ns: int, epoch: int, seq: int
    ) -> list[Gap] | None:
        read = GAPS.get(kind)
        return [] if read is None else read(payload, self.feed, recv_ns, epoch, seq)

    def _flush(self, chunk: "_Chunk", batches: dict[str, list[pa.RecordBatch]]) -> int:
        """Append the chunk's rows to `batches` by kind; how many control messages there were."""
        try:
            made = self._project(chunk)
        except ValueError:
            # Some time or condition in the chunk is no such thing; find out which, then project the
            # rest.
            self._repair(chunk)
            made = self._project(chunk)
        for kind, batch in made.items():
            batches.setdefault(kind, []).append(batch)
        return len(chunk.messages) - sum(batch.num_rows for batch in made.values())

    def _project(self, chunk: "_Chunk") -> dict[str, pa.RecordBatch]:
        messages = chunk.messages
        if not messages:
            return {}
        present = {self._kind_of[made] for made in set(map(type, messages))}
        origin = chunk.origin()
        if len(present) == 1:
            (kind,) = present
            return {kind: self._batch(kind, messages, origin)} if kind else {}
        kinds = list(map(self._kind_of.__getitem__, map(type, messages)))
        made = {}
        for kind in present - {""}:
            rows = np.flatnonzero(np.fromiter(map(kind.__eq__, kinds), np.bool_, len(kinds)))
            picked = list(map(messages.__getitem__, rows.tolist()))
            made[kind] = self._batch(kind, picked, origin.take(rows))
        return made

    def _batch(self, kind: str, messages: list[Any], origin: Origin) -> pa.RecordBatch:
        count = len(messages)
        recv_ns: Column = pa.array(origin.recv_ns)
        if kind in self._briefs:
            brief = self._briefs[kind](messages) | {"recv_ns": recv_ns, "seq": pa.array(origin.seq)}
            return pa.RecordBatch.from_arrays(list(brief.values()), list(brief))
        own = self._columns[kind](messages)
        if kind == "unknown":  # its own time could not be read: it stands where we received it
            own = [pa.repeat("", count), recv_ns, *own]
        symbol, event_ns, *own = own
        return pa.RecordBatch.from_arrays(
            [
                pa.repeat(self.feed, count),
                symbol,
                event_ns,
                recv_ns,
                pa.repeat("stream", count),
                pa.array(origin.epoch),
                pa.array(origin.seq),
                pa.array(origin.index),
                *own,
            ],
            schema=KINDS[kind],
        )

    def _repair(self, chunk: "_Chunk") -> None:
        """Replace each message whose record cannot be made by an Unreadable."""
        messages = chunk.messages
        payloads = [payload for block in chunk.blocks for _, payload in block.entries()]
        row = 0
        for payload, count in zip(payloads, chunk.counts, strict=True):
            for index in range(count):
                make = self._records.get(type(messages[row]))
                if make is not None:
                    try:
                        make(messages[row], "", 0, 0, 0, 0)
                    except ValueError as error:
                        messages[row] = unreadable(str(error), self._wire.text(payload, index))
                row += 1


class _Chunk:
    """Some blocks' messages in one list; how many each entry and each block brought.

    An entry of our own brings none.
    """

    __slots__ = ("blocks", "counts", "messages", "sizes")

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.blocks: list[BlockLike] = []
        self.sizes: list[int] = []
        self.counts: list[int] = []

    def origin(self) -> Origin:
        seqs = np.array([block.seq for block in self.blocks], np.int64)
        recv_ns = np.array([block.recv_ns for block in self.blocks], np.int64)
        epochs = np.array([block.epoch for block in self.blocks], np.int64)
        return origin_of(recv_ns, epochs, seqs, self.sizes, self.counts)


def table_of(kind: str, records: list[Any]) -> pa.Table:
    """Make the table of some records of one kind, in their order."""
    schema = KINDS[kind]
    return pa.Table.from_arrays(
        [pa.array([getattr(r, field.name) for r in records], field.type) for field in schema],
        schema=schema,
    )


def _unknown_columns(messages: list[Unreadable]) -> list[Column]:
    return [
        pa.array([m.reason for m in messages], pa.string()),
        pa.array([m.text for m in messages], pa.string()),
    ]
