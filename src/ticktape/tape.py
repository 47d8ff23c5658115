"""A run as Python sees it: `tape = ticktape.open("tape")`, live or long over.

It only reads. Nothing here starts or stops a recorder or makes one wait, and nothing a run has
written is ever changed.
"""

import heapq
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from ticktape.clock import NS_PER_S
from ticktape.decoders import decoder_for
from ticktape.errors import ConfigError
from ticktape.journal.blocks import Block
from ticktape.lastvalue import LastValues
from ticktape.ledger import Verdict
from ticktape.live import Follow, Wanted
from ticktape.orderbook import OrderBookImage
from ticktape.records import Position, Record
from ticktape.replay.check import check
from ticktape.replay.orderbooks import book_at
from ticktape.replay.paths import latency_report
from ticktape.replay.places import is_live, open_run, reader_of, stream_kinds
from ticktape.replay.tail import connect_run
from ticktape.table.query import run_sql

__all__ = ["Instant", "Tape", "open"]

Instant = int | datetime | str
"""A moment: UTC nanoseconds, a datetime, or ISO 8601 text; without an offset it is UTC."""

_READ_BYTES = 1 << 20  # of each feed's journal at a time, in `replay`
_DIGITS_NS = 9

_ROWS = """
SELECT * FROM {kind}
WHERE ($symbol IS NULL OR {of_symbol})
    AND ($start_ns IS NULL OR event_ns >= $start_ns)
    AND ($end_ns IS NULL OR event_ns < $end_ns)
ORDER BY event_ns, feed, epoch, seq, index, witness
"""


class Tape:
    """One run's directory, opened for reading; close it, or use it in a `with`.

    Every call sees what is journaled at that moment, also while a recorder is at work. For one
    thread.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = open_run(Path(directory))
        self._last: LastValues | None = None

    def __repr__(self) -> str:
        return f"Tape({str(self.directory)!r})"

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
        """Unmap the last values; may be called twice."""
        if self._last is not None:
            self._last.close()

    @property
    def directory(self) -> Path:
        """The run's directory."""
        return self._directory.root

    @property
    def feeds(self) -> dict[str, str]:
        """Feed -> kind, of those that have recorded something."""
        return stream_kinds(self._directory)

    @property
    def last(self) -> LastValues:
        """The last values: `tape.last["AAPL"].trade.price`; they follow a run that is live."""
        if self._last is None:
            self._last = LastValues(self._directory.last)
        return self._last

    def sql(self, text: str, *, as_of: Instant | None = None) -> pa.Table:
        """Ask the tables in DuckDB's SQL, each journaled row once.

        Views and columns: docs/reference/tables.md. With `as_of` they show what had been received
        by then, as it was known then: a trade that was cancelled later stands.

        Raises:
            TickTapeError: DuckDB refuses it; `hint` names what there is.
            ConfigError: `as_of` is no instant.
        """
        as_of_ns = None if as_of is None else instant_ns(as_of)
        con = connect_run(self._directory, as_of_ns, text)
        try:
            return run_sql(con, text)
        finally:
            con.close()

    def trades(
        self,
        symbol: str | None = None,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> pa.Table:
        """Trades with cancels and corrections applied, sorted by `event_ns`, then as journaled.

        Args:
            symbol: only this one; None is all.
            start: the first `event_ns` wanted.
            end: the first `event_ns` no longer wanted.

        Raises:
            ConfigError: `start` or `end` is no instant.
        """
        return self._rows("trades", symbol, start, end)

    def quotes(
        self,
        symbol: str | None = None,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> pa.Table:
        """Quotes; arguments and order as `trades`."""
        return self._rows("quotes", symbol, start, end)

    def bars(
        self,
        symbol: str | None = None,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> pa.Table:
        """Bars of every span (`span` is minute, updated or day); arguments as `trades`."""
        return self._rows("bars", symbol, start, end)

    def books(
        self,
        symbol: str | None = None,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> pa.Table:
        """Images of polled books, both sides best first; arguments as `trades`."""
        return self._rows("books", symbol, start, end)

    def ticks(
        self,
        symbol: str | None = None,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> pa.Table:
        """A terminal's ticks; arguments as `trades`."""
        return self._rows("ticks", symbol, start, end)

    def statuses(
        self,
        symbol: str | None = None,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> pa.Table:
        """Halts and resumptions; arguments as `trades`."""
        return self._rows("statuses", symbol, start, end)

    def news(
        self,
        symbol: str | None = None,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> pa.Table:
        """Articles that name the symbol among theirs; arguments as `trades`.

        `start` and `end` are of `updated_ns`; an article that was changed comes again.
        """
        return self._rows("news", symbol, start, end, "list_contains(symbols, $symbol)")

    def crypto_books(
        self,
        symbol: str | None = None,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> pa.Table:
        """Changes of crypto order books; arguments as `trades`. `book_at` puts them together."""
        return self._rows("crypto_books", symbol, start, end)

    def book_at(self, symbol: str, at: Instant, feed: str | None = None) -> OrderBookImage | None:
        """The crypto order book at a moment of our clock; None if no whole one had come by then.

        It is made of what had been received (`recv_ns`), from the last whole book on. It is not
        `is_valid` when a gap lies between that and `at`, also one that was noticed later.

        Args:
            symbol: as the venue writes it, BTC/USD.
            at: the moment; what was received in this nanosecond is in.
            feed: of which feed; None is the one that brought the last change of the symbol.

        Raises:
            ConfigError: `at` is no instant.
        """
        at_ns = instant_ns(at)
        con = connect_run(self._directory)
        try:
            return book_at(con, symbol, at_ns, feed)
        finally:
            con.close()

    def gaps(self) -> pa.Table:
        """What we were not there to hear: each gap once, as it stands, in order of beginning."""
        return self.sql("SELECT * FROM gaps ORDER BY from_ns, feed, symbol")

    def _rows(
        self,
        kind: str,
        symbol: str | None,
        start: Instant | None,
        end: Instant | None,
        of_symbol: str = "symbol = $symbol",
    ) -> pa.Table:
        parameters = {
            "symbol": symbol,
            "start_ns": None if start is None else instant_ns(start),
            "end_ns": None if end is None else instant_ns(end),
        }
        query = _ROWS.format(kind=kind, of_symbol=of_symbol)
        con = connect_run(self._directory, asked=f"FROM {kind}")
        try:
            rows: pa.Table = con.sql(query, params=parameters).to_arrow_table()
        finally:
            con.close()
        return rows

    def latency(self) -> dict[str, dict[str, float | int | None]]:
        """Per stage p50, p99, p999 and max in µs since the socket read, and the count of entries.

        Stages: recv_to_written, recv_to_synced, recv_to_last, recv_to_decided, recv_to_stored.
        """
        return latency_report(self._directory).to_dict()

    def check(self) -> Verdict:
        """Read all of the run and prove it, as `ticktape check` does.

        Takes as long as reading the run does; what does not fit into memory goes to a temporary
        folder.
        """
        scratch = Path(tempfile.mkdtemp(prefix="ticktape-check-"))
        try:
            return check(self._directory, scratch, lambda *_: None)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def replay(self) -> Iterator[Record]:
        """Give every record from the journals, as live decoders gave them; gaps are among them.

        Each feed's records come in its journal's order; feeds are merged by `recv_ns`. Duplicates
        and what was later cancelled are there, as they were live. It ends at what is written when
        it gets there, and holds about a megabyte per feed.
        """
        live = is_live(self._directory)
        kinds = self.feeds
        decoders = {feed: decoder_for(kind, feed) for feed, kind in kinds.items()}
        journals = [self._blocks(feed, live=live) for feed in kinds]
        for feed, block in heapq.merge(*journals, key=lambda place: place[1].recv_ns):
            yield from decoders[feed].decode(block)

    def follow(
        self,
        *symbols: str,
        kinds: str | Collection[str] = (),
        start: Instant | Mapping[str, Position] | None = None,
        synced: bool = False,
        timeout_s: float | None = None,
    ) -> Follow:
        """Give records as they are journaled: `for record in tape.follow(…)`, or `async for`.

        It ends with the run. Who is slow reads behind and misses nothing. Order and limits: see
        `Follow`.

        Args:
            symbols: only these, and the gaps of their feeds; none is all.
            kinds: only these, by the names of their tables; none is all.
            start: the first `recv_ns` wanted, 0 for all; or `positions` of another `Follow`, to
                go on there. None is from this call on.
            synced: give only what survives power loss, up to `commit_ms` later.
            timeout_s: end so long after this call, whatever comes; None waits for the run's end.

        Raises:
            ConfigError: `start` is no instant, or a kind does not exist.
        """
        wanted = Wanted.of(symbols, kinds)
        if not (start is None or isinstance(start, Mapping)):
            start = instant_ns(start)
        return Follow(self._directory, wanted, start, synced=synced, timeout_s=timeout_s)

    def _blocks(self, feed: str, *, live: bool) -> Iterator[tuple[str, Block]]:
        with reader_of(self._directory, feed, live=live) as reader:
            while blocks := reader.read(_READ_BYTES):
                for block in blocks:
                    yield feed, block


def open(directory: str | Path) -> Tape:
    """Open a run's directory for reading.

    Raises:
        ConfigError: there is no run.
    """
    return Tape(directory)


def instant_ns(instant: Instant) -> int:
    """UTC nanoseconds of a moment; text keeps up to nine digits of a second.

    Raises:
        ConfigError: the text is no moment.
    """
    if isinstance(instant, int):
        return instant
    if isinstance(instant, datetime):
        return _whole_ns(instant) + instant.microsecond * 1_000
    head, point, tail = instant.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    try:
        if point and not 1 <= len(digits) <= _DIGITS_NS:
            raise ValueError(tail)
        moment = datetime.fromisoformat(head + tail[len(digits) :])
    except ValueError as error:
        raise ConfigError(
            [f"{instant!r} is no moment"],
            hint="Say 2013-10-08T15:59:00-04:00, 2013-10-08 (UTC), or nanoseconds.",
        ) from error
    return _whole_ns(moment) + int(digits.ljust(_DIGITS_NS, "0") or 0)


def _whole_ns(moment: datetime) -> int:
    """UTC nanoseconds of the whole second; without an offset it is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # By days and seconds: a float of today's seconds would still be exact, its nanoseconds not.
    since = moment.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NS_PER_S
