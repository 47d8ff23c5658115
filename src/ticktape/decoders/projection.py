"""One wire decoding, two projections: records one at a time, and Arrow tables in bulk.

What a venue's module says of its wire (`Wire`) is used by both, so that they cannot differ. Nothing
that a venue sends may raise here: what cannot be read becomes a row of `unknown`, and its
neighbours in the frame stay.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from ticktape.decoders.chunk import LAST_DATA_KIND, Chunk
from ticktape.decoders.frames import Frames, Unreadable, unreadable
from ticktape.decoders.instants import Column
from ticktape.decoders.origin import Origin
from ticktape.decoders.session import GAPS
from ticktape.decoders.usual import Usual, read_usual
from ticktape.records import Gap, Record
from ticktape.schemas import KINDS

_ONE_MESSAGE = (1, 0, 0, 0)


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


class Draft(NamedTuple):
    """What tells the newest of each symbol, of trades or of quotes, before a record is made.

    `event_ns` raises ValueError for exactly the messages for which `Shape.record` does.
    """

    symbols: Callable[[list[Any]], list[str]]
    event_ns: Callable[[list[Any]], list[int]]


class Shape(NamedTuple):
    """How one kind of wire message becomes a record and columns.

    `record(wire, feed, recv_ns, epoch, seq, index)` and `columns(wires)` raise ValueError for what
    the first decoding let through (times and conditions are read here). `columns` gives symbol,
    event_ns and then the kind's own columns in the schema's order; it takes messages of all types
    of the kind, mixed. `brief(wires)`, for kinds that come in masses, gives only what the ledger
    looks at, and raises for exactly the messages for which `columns` does. `records(wires, feed,
    recv_ns, epoch, seq)`, for such kinds, too, makes those of a whole frame of one type as `record`
    does of each message. `draft` is for trades and quotes alone. `usual` makes both tables out of
    the text of messages that are written as usual.
    """

    kind: str
    record: Callable[[Any, str, int, int, int, int], Record]
    columns: Callable[[list[Any]], list[Column]]
    brief: Callable[[list[Any]], Brief] | None = None
    draft: Draft | None = None
    records: Callable[[list[Any], str, int, int, int], list[Record]] | None = None
    usual: Usual | None = None


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
        self._usuals = {s.usual.form: (s.kind, s.usual) for s in wire.shapes.values() if s.usual}

    @property
    def counts(self) -> DecodedCounts:
        """What the last call of `decode` or `tables` saw."""
        return DecodedCounts(*self._counts)  # made when asked for: most blocks' are not

    def decode(self, block: BlockLike) -> list[Record]:
        """Turn a block into records, in the order of its entries and of the messages in them."""
        entries = block.entries()
        if len(entries) != 1:
            return self._decode_all(block, entries)
        kind, payload = entries[0]
        if kind > LAST_DATA_KIND:
            return self._decode_all(block, entries)
        # One message in one entry is what most blocks bring when the venue is calm. With no call
        # that can be spared: a strategy waits for this.
        try:
            messages = self._reads[kind](payload)
        except (ValueError, RecursionError) as error:
            messages = self._wire.salvage(payload, str(error))
        if len(messages) == 1:
            message = messages[0]
            make = self._records.get(message.__class__)
            if make is not None:
                try:
                    record = make(message, self.feed, block.recv_ns, block.epoch, block.seq, 0)
                except ValueError:
                    pass  # it is told below what is wrong with it
                else:
                    self._counts = _ONE_MESSAGE
                    return [record]
        return self._decode_all(block, entries, messages)

    def _decode_all(
        self, block: BlockLike, entries: list[tuple[int, bytes]], only: list[Any] | None = None
    ) -> list[Record]:
        """As `decode`; `only` are the messages of the only entry, if they are read already."""
        recv_ns, epoch, seq = block.recv_ns, block.epoch, block.seq - 1
        reads, makers = self._reads, self._records
        found: list[Record] = []
        control = unknown = malformed = gap_count = 0
        for kind, payload in entries:
            seq += 1
            if kind > LAST_DATA_KIND:
                gaps = self._gaps(kind, payload, recv_ns, epoch, seq)
                if gaps is None:
                    malformed += 1
                else:
                    gap_count += len(gaps)
                    found += gaps
                continue
            try:
                messages = reads[kind](payload) if only is None else only
            except (ValueError, RecursionError) as error:
                messages = self._wire.salvage(payload, str(error))
            if len(messages) == 1 and (make := makers.get(messages[0].__class__)) is not None:
                # Most frames that are not full.
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
        while (chunk := Chunk()).gather(coming):
            for block in chunk.own:
                said = self._gaps_of(block)
                malformed += said.count(None)
                gaps += [gap for each in said for gap in each or ()]
            control += self._flush(chunk, batches)
        made = {kind: pa.Table.from_batches(batches[kind]) for kind in KINDS if kind in batches}
        rows = sum(table.num_rows for table in made.values())
        unknown = made["unknown"].num_rows if "unknown" in made else 0
        if gaps:
            made["gaps"] = table_of("gaps", gaps)
        self._counts = (rows, control, unknown, malformed)
        return made

    def _gaps_of(self, block: BlockLike) -> list[list[Gap] | None]:
        """The gaps that each entry of our own tells of; None for one that cannot be read."""
        return [
            self._gaps(kind, payload, block.recv_ns, block.epoch, seq)
            for seq, (kind, payload) in enumerate(block.entries(), block.seq)
            if kind > LAST_DATA_KIND
        ]

    def _gaps(
        self, kind: int, payload: bytes, recv_ns: int, epoch: int, seq: int
    ) -> list[Gap] | None:
        read = GAPS.get(kind)
        return [] if read is None else read(payload, self.feed, recv_ns, epoch, seq)

    def _flush(self, chunk: Chunk, batches: dict[str, list[pa.RecordBatch]]) -> int:
        """Append the chunk's rows to `batches` by kind; how many control messages there were."""
        made = self._project_usual(chunk)
        if made is None:
            chunk.counts = []
            self._read(chunk)
            try:
                made = self._project(chunk)
            except ValueError:
                # Some time or condition in the chunk is no such thing; find out which, then project
                # the rest.
                self._repair(chunk)
                made = self._project(chunk)
        for kind, batch in made.items():
            batches.setdefault(kind, []).append(batch)
        return sum(chunk.counts) - sum(batch.num_rows for batch in made.values())

    def _project_usual(self, chunk: Chunk) -> dict[str, pa.RecordBatch] | None:
        """The rows of a chunk if all its messages are written as usual."""
        texts = chunk.texts() if self._usuals else None
        found = None if texts is None else read_usual(texts, self._usuals)
        if found is None:
            return None
        chunk.count_texts(found.counts)
        origin = chunk.origin()
        made = {}
        try:
            for form, rows, cut in found.cuts:
                kind, usual = self._usuals[form]
                place = origin if rows is None else origin.take(rows)
                if kind in self._briefs:
                    made[kind] = _brief_batch(usual.brief(cut), place)
                else:
                    made[kind] = self._whole_batch(kind, usual.columns(cut), place)
        except ValueError:  # a time or a condition that is none
            return None
        return made

    def _read(self, chunk: Chunk) -> None:
        """Read the chunk's messages one by one."""
        reads, messages, counts = self._wire.reads, chunk.messages, chunk.counts
        for kind, payload in chunk.entries:
            if kind > LAST_DATA_KIND:
                counts.append(0)
                continue
            try:
                found = reads[kind](payload)
            except (ValueError, RecursionError) as error:
                found = self._wire.salvage(payload, str(error))
            messages += found
            counts.append(len(found))

    def _project(self, chunk: Chunk) -> dict[str, pa.RecordBatch]:
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
        if kind in self._briefs:
            return _brief_batch(self._briefs[kind](messages), origin)
        own = self._columns[kind](messages)
        if kind == "unknown":  # its own time could not be read: it stands where we received it
            own = [pa.repeat("", len(messages)), pa.array(origin.recv_ns), *own]
        return self._whole_batch(kind, own, origin)

    def _whole_batch(self, kind: str, own: list[Column], origin: Origin) -> pa.RecordBatch:
        symbol, event_ns, *rest = own
        return pa.RecordBatch.from_arrays(
            [
                pa.repeat(self.feed, len(symbol)),
                symbol,
                event_ns,
                pa.array(origin.recv_ns),
                pa.repeat("stream", len(symbol)),
                pa.array(origin.epoch),
                pa.array(origin.seq),
                pa.array(origin.index),
                *rest,
            ],
            schema=KINDS[kind],
        )

    def _repair(self, chunk: Chunk) -> None:
        """Replace each message whose record cannot be made by an Unreadable."""
        messages = chunk.messages
        row = 0
        for (_, payload), count in zip(chunk.entries, chunk.counts, strict=True):
            for index in range(count):
                make = self._records.get(type(messages[row]))
                if make is not None:
                    try:
                        make(messages[row], "", 0, 0, 0, 0)
                    except ValueError as error:
                        messages[row] = unreadable(str(error), self._wire.text(payload, index))
                row += 1


def _brief_batch(brief: Brief, origin: Origin) -> pa.RecordBatch:
    whole = brief | {"recv_ns": pa.array(origin.recv_ns), "seq": pa.array(origin.seq)}
    return pa.RecordBatch.from_arrays(list(whole.values()), list(whole))


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
