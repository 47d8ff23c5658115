"""MetaTrader 5's images and ticks: journal entries -> records and tables, in bulk by NumPy.

Nothing is sorted or mended: a side stands in the order in which the terminal delivered it (asks
from behind, so that both sides begin with the best), and flags say what is remarkable about it. An
entry that is no whole image or batch becomes a row of `unknown`.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from ticktape import mt5
from ticktape.decoders.books import Placed, book_of, book_table, witness_of
from ticktape.decoders.projection import BlockLike, DecodedCounts, table_of
from ticktape.decoders.session import GAPS
from ticktape.records import EntryKind, Gap, Record, Tick, Unknown
from ticktape.schemas import KINDS

_TICK = np.dtype(
    {
        "names": ["time", "bid", "ask", "last", "volume", "time_msc", "flags", "volume_real"],
        "formats": ["<i8", "<f8", "<f8", "<f8", "<u8", "<i8", "<u4", "<f8"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 52],
        "itemsize": mt5.TICK_BYTES,
    }
)
_NS_PER_MS = 1_000_000
# A time beyond has no nanoseconds in 64 bits, whatever the offset: such a tick has this one.
_MSC_MAX = (1 << 63) // _NS_PER_MS - (1 << 31)
_TICKS_BYTE = bytes([mt5.Form.TICKS])


class Mt5Decoder:
    """Decodes blocks of one feed; `counts` are those of the last call."""

    def __init__(self, feed: str) -> None:
        self.feed = feed
        self.counts = DecodedCounts(0, 0, 0, 0)

    def decode(self, block: BlockLike) -> list[Record]:
        """Turn a block into records, in the order of its entries."""
        found: list[Record] = []
        gap_count = unknown = malformed = 0
        for seq, (kind, payload) in enumerate(block.entries(), block.seq):
            if kind in GAPS:
                gaps = GAPS[kind](payload, self.feed, block.recv_ns, block.epoch, seq)
                malformed += gaps is None
                gap_count += len(gaps or ())
                found += gaps or ()
            elif kind <= EntryKind.BINARY:
                made = self._records(payload, block, seq)
                unknown += isinstance(made[0], Unknown) if made else 0
                found += made
        self.counts = DecodedCounts(len(found) - gap_count, 0, unknown, malformed)
        return found

    def _records(self, payload: bytes, block: BlockLike, seq: int) -> list[Any]:
        try:
            if payload[:1] == _TICKS_BYTE:
                batch = mt5.unpack_ticks(payload, block.recv_ns)
                return self._ticks(batch, block, seq)
            image = mt5.unpack_image(payload, block.recv_ns)
        except ValueError as error:
            return [self._unknown(payload, str(error), block, seq)]
        return [book_of(image, self.feed, block.recv_ns, block.epoch, seq)]

    def _ticks(self, batch: mt5.TickBatch, block: BlockLike, seq: int) -> list[Tick]:
        witness = witness_of(batch.marks)
        return [
            Tick(
                feed=self.feed,
                symbol=batch.symbol,
                event_ns=(min(max(msc, -_MSC_MAX), _MSC_MAX) - batch.offset_ms) * _NS_PER_MS,
                recv_ns=block.recv_ns,
                epoch=block.epoch,
                seq=seq,
                index=index,
                witness=witness,
                time_msc=msc,
                offset_ms=batch.offset_ms,
                bid=bid,
                ask=ask,
                last=last,
                volume=_signed(volume),
                volume_real=volume_real,
                flags=flags,
                before_ns=batch.before_ns,
                after_ns=batch.after_ns,
            )
            for index, (_, bid, ask, last, volume, msc, flags, volume_real) in enumerate(
                mt5.TICK.iter_unpack(batch.rows)
            )
        ]

    def _unknown(self, payload: bytes, reason: str, block: BlockLike, seq: int) -> Unknown:
        return Unknown(
            feed=self.feed,
            symbol="",
            event_ns=block.recv_ns,
            recv_ns=block.recv_ns,
            epoch=block.epoch,
            seq=seq,
            index=0,
            reason=reason,
            text=payload.hex(),
        )

    def tables(self, blocks: Iterable[BlockLike]) -> dict[str, pa.Table]:
        """Turn blocks into a table per kind that has rows; rows equal those of `decode`."""
        read = _Read()
        for block in blocks:
            for seq, (kind, payload) in enumerate(block.entries(), block.seq):
                if kind in GAPS:
                    read.tell_gaps(self.feed, kind, payload, block, seq)
                elif kind <= EntryKind.BINARY:
                    reason = read.data(payload, block, seq)
                    if reason:
                        read.unknown.append(self._unknown(payload, reason, block, seq))
        made: dict[str, pa.Table] = {}
        if read.books:
            made["books"] = book_table(self.feed, read.books)
        if any(batch.rows for batch, *_ in read.batches):
            made["ticks"] = self._tick_table(read.batches)
        if read.unknown:
            made["unknown"] = table_of("unknown", read.unknown)
        rows = sum(table.num_rows for table in made.values())
        if read.gaps:
            made["gaps"] = table_of("gaps", read.gaps)
        self.counts = DecodedCounts(rows, 0, len(read.unknown), read.malformed)
        return {kind: made[kind] for kind in KINDS if kind in made}

    def _tick_table(self, batches: list[tuple[mt5.TickBatch, int, int, int]]) -> pa.Table:
        rows = np.frombuffer(b"".join(batch.rows for batch, *_ in batches), _TICK)
        counts = np.array([len(batch.rows) // mt5.TICK_BYTES for batch, *_ in batches], np.int64)
        starts = np.cumsum(counts) - counts

        def spread(values: list[int]) -> Any:  # noqa: ANN401 - an array of any shape to NumPy
            return np.repeat(np.array(values, np.int64), counts)

        def texts(values: list[str]) -> Any:  # noqa: ANN401
            return pa.array(values, pa.string()).take(np.repeat(np.arange(len(values)), counts))

        offset_ms = spread([batch.offset_ms for batch, *_ in batches])
        times = np.clip(rows["time_msc"], -_MSC_MAX, _MSC_MAX)
        index = np.arange(len(rows), dtype=np.int64) - np.repeat(starts, counts)
        columns = [
            pa.repeat(self.feed, len(rows)),
            texts([batch.symbol for batch, *_ in batches]),
            pa.array((times - offset_ms) * _NS_PER_MS),
            pa.array(spread([recv_ns for _, recv_ns, _, _ in batches])),
            texts([witness_of(batch.marks) for batch, *_ in batches]),
            pa.array(spread([epoch for _, _, epoch, _ in batches])),
            pa.array(spread([seq for _, _, _, seq in batches])),
            pa.array(index.astype(np.int32)),
            pa.array(np.ascontiguousarray(rows["time_msc"])),
            pa.array(offset_ms.astype(np.int32)),
            *(pa.array(np.ascontiguousarray(rows[name])) for name in ("bid", "ask", "last")),
            pa.array(np.ascontiguousarray(rows["volume"]).view(np.int64)),
            pa.array(np.ascontiguousarray(rows["volume_real"])),
            pa.array(rows["flags"].astype(np.int64)),
            pa.array(spread([batch.before_ns for batch, *_ in batches])),
            pa.array(spread([batch.after_ns for batch, *_ in batches])),
        ]
        return pa.Table.from_arrays(columns, schema=KINDS["ticks"])


class _Read:
    """The entries of some blocks, by what they are; places are (recv_ns, epoch, seq)."""

    def __init__(self) -> None:
        self.books: list[Placed] = []
        self.batches: list[tuple[mt5.TickBatch, int, int, int]] = []
        self.gaps: list[Gap] = []
        self.unknown: list[Unknown] = []
        self.malformed = 0

    def tell_gaps(self, feed: str, kind: int, payload: bytes, block: BlockLike, seq: int) -> None:
        found = GAPS[kind](payload, feed, block.recv_ns, block.epoch, seq)
        self.malformed += found is None
        self.gaps += found or ()

    def data(self, payload: bytes, block: BlockLike, seq: int) -> str:
        """Take an entry; why it cannot be read, "" when it could."""
        recv_ns = block.recv_ns
        try:
            if payload[:1] == _TICKS_BYTE:
                batch = mt5.unpack_ticks(payload, recv_ns)
                self.batches.append((batch, recv_ns, block.epoch, seq))
            else:
                image = mt5.unpack_image(payload, recv_ns)
                self.books.append((image, recv_ns, block.epoch, seq))
        except ValueError as error:
            return str(error)
        return ""


def _signed(number: int) -> int:
    """An unsigned 64-bit number as the signed one of its bits, for there is no other in a table."""
    return number - (1 << 64) if number >> 63 else number
