"""Follows a run as it is journaled: `for record in tape.follow()`, or `async for`.

The journal is the queue: whoever is slow reads behind, in bounded memory, and nobody waits for
him. Nothing here writes to a run.
"""

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Self

from ticktape import clock
from ticktape.config import REST
from ticktape.decoders import decoder_for
from ticktape.decoders.holes import HoleTeller
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError, Corrupt
from ticktape.journal.blocks import Block
from ticktape.journal.positions import Positions
from ticktape.journal.reader import Reader, wait_any, watch_all
from ticktape.journal.segments import Segment, list_segments
from ticktape.journal.wakeup import LONG_S, Seen, Sleeper
from ticktape.recorder.following import writer_is_gone
from ticktape.records import Gap, News, Position, Record
from ticktape.replay.places import BEGINNING, is_live, stream_kinds
from ticktape.schemas import KINDS

_READ_BYTES = 1 << 18  # of a journal at a time: with its decoded block, what a feed takes of memory
_LOOK_NS = clock.NS_PER_S // 4  # how often is looked for new feeds, and whether the run is over
_TURN_NS = 2_000_000  # so long a loop's other tasks wait at most for who reads behind


class Wanted(NamedTuple):
    """Which records are asked for; an empty collection is all.

    A gap of a whole feed is of every symbol, and an article of each that it names.
    """

    symbols: frozenset[str]
    kinds: frozenset[str]

    @classmethod
    def of(cls, symbols: Collection[str], kinds: str | Collection[str]) -> "Wanted":
        """What a caller asks for; a single kind may be a text.

        Raises:
            ConfigError: there is no such kind.
        """
        kinds = frozenset([kinds] if isinstance(kinds, str) else kinds)
        if unknown := sorted(kinds - KINDS.keys()):
            raise ConfigError(
                [f"{kind!r} is no kind of record" for kind in unknown],
                hint=f"Known: {', '.join(KINDS)}.",
            )
        return cls(frozenset(symbols), kinds)

    def __call__(self, record: Record) -> bool:
        """Whether it is asked for."""
        if self.kinds and record.kind not in self.kinds:
            return False
        if not self.symbols or record.symbol in self.symbols:
            return True
        if isinstance(record, News):
            return not self.symbols.isdisjoint(record.symbols)
        return isinstance(record, Gap) and not record.symbol


class _LoopSleeper(Sleeper):
    """A sleeper that lets an event loop go on meanwhile.

    The loop itself hears the wake-up: a thread that waits for it costs a third more (measured), and
    would need a place in the loop's pool.
    """

    async def sleep_in_loop(self, seen: Sequence[Seen], timeout_s: float) -> None:
        """As `sleep`."""
        for wait_s in self._steps(seen, timeout_s):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await asyncio.get_running_loop().sock_recv(self._socket, 16)
                self._wake_up()
                return


class _Source:
    """One feed's journal: what was read of it and not yet given."""

    def __init__(self, reader: Reader, decoder: HoleTeller, start_ns: int) -> None:
        self.reader = reader
        self.decoder = decoder
        self.blocks: deque[Block] = deque()
        self.given = reader.position  # all records of the blocks before it were given
        self._start_ns = start_ns

    def fill(self) -> None:
        """Read on where nothing is left."""
        while not self.blocks:
            blocks = self.reader.read(_READ_BYTES)
            if not blocks:
                return
            if self._start_ns:
                blocks = self._since_start(blocks)
            self.blocks.extend(blocks)

    def _since_start(self, blocks: list[Block]) -> list[Block]:
        for index, block in enumerate(blocks):
            if block.recv_ns >= self._start_ns:
                self._start_ns = 0  # a clock that is set back later takes nothing away
                return blocks[index:]
        self.given = blocks[-1].end
        return []


class _Journals:
    """The journals of all feeds, merged; feeds that begin later are found."""

    def __init__(
        self, directory: RunDirectory, start: int | Mapping[str, Position] | None, *, synced: bool
    ) -> None:
        self._directory = directory
        self._synced = synced
        self._start_ns = start if isinstance(start, int) else 0
        self._sources: dict[str, _Source] = {}
        self._in_hand: tuple[_Source, Block] | None = None
        self._is_drained = True  # a source has nothing left: look at all again
        self._feeds_at_ns = clock.monotonic_ns() + _LOOK_NS
        self._end_at_ns = 0
        self._is_ended = False
        self.sleeper = _LoopSleeper()
        for feed, kind in stream_kinds(directory).items():
            if isinstance(start, Mapping):
                position = start.get(feed, BEGINNING)
            elif start is None:
                position = _end(directory, feed, synced=synced)
            else:
                position = _place_at(directory, feed, start)
            self._add(feed, kind, position)

    def _add(self, feed: str, kind: str, start: Position) -> None:
        journal, positions = self._directory.journal(feed), self._directory.positions(feed)
        reader = Reader(journal, positions, start, synced=self._synced)
        decoder = HoleTeller(feed, decoder_for(kind, feed))
        self._sources[feed] = _Source(reader, decoder, self._start_ns)

    def positions(self) -> dict[str, Position]:
        """Feed -> the first block of which not all records were given."""
        return {feed: source.given for feed, source in self._sources.items()}

    def next_block(self) -> Sequence[Record] | None:
        """All records of the oldest block that is there; None when nothing is there now.

        Call it when the last ones are given.
        """
        if self._in_hand is not None:
            source, block = self._in_hand
            source.given, self._in_hand = block.end, None
        if self._is_drained:
            self._fill()
        ready = [source for source in self._sources.values() if source.blocks]
        if not ready:
            return None
        source = min(ready, key=lambda each: each.blocks[0].recv_ns)
        block = source.blocks.popleft()
        # What another feed receives meanwhile is later than all that lies here.
        self._is_drained = not source.blocks
        self._in_hand = source, block
        return source.decoder.decode(block)

    def _fill(self) -> None:
        if clock.monotonic_ns() >= self._feeds_at_ns:
            self._feeds_at_ns = clock.monotonic_ns() + _LOOK_NS
            if not self._sources.keys() >= _streams(self._directory):
                for feed, kind in stream_kinds(self._directory).items():
                    if feed not in self._sources:
                        self._add(feed, kind, BEGINNING)
        for source in self._sources.values():
            source.fill()

    def is_over(self) -> bool:
        """Whether the run is over and all is read; call it when there is no next block."""
        if self._is_ended:
            return True
        if clock.monotonic_ns() >= self._end_at_ns:
            self._end_at_ns = clock.monotonic_ns() + _LOOK_NS
            gone = all(writer_is_gone(self._directory, feed) for feed in self._sources)
            if gone and not is_live(self._directory):
                self._is_ended = True
                self._read_the_rest()
        return False

    def _read_the_rest(self) -> None:
        """What a killed writer had not told of; but synced is only what it said to be."""
        # Its slots lie in the mappings that the readers are about to close.
        self.sleeper.close()
        self.sleeper = _LoopSleeper()
        for source in self._sources.values():
            if not self._synced or source.reader.seen() is None:
                source.reader.read_files()

    def readers(self) -> list[Reader]:
        """Those to wait for."""
        return [source.reader for source in self._sources.values()]

    async def wait_in_loop(self, timeout_s: float) -> None:
        """As `wait_any`, and an event loop goes on."""
        await self.sleeper.sleep_in_loop(*watch_all(self.readers(), self.sleeper, timeout_s))

    def close(self) -> None:
        """Close all readers; may be called twice."""
        self.sleeper.close()
        for reader in self.readers():
            reader.close()


class Follow:
    """Records as they are journaled; what `Tape.follow` gives. For one thread or one task.

    An iterator for both `for` and `async for`: it waits for what comes, and ends with the run, or
    after `timeout_s`. Feeds are merged by `recv_ns` as far as they are written when it looks: it
    never holds a record back to wait for another feed's. So each feed's records come in its
    journal's order, each once; of two feeds one may come after a later one by as long as it took
    from the socket to the journal. `Tape.replay` has the order that is exact.

    It closes its readers at its end, or when nobody holds it any more; or in a `with`.
    """

    def __init__(
        self,
        directory: RunDirectory,
        wanted: Wanted,
        start: int | Mapping[str, Position] | None,
        *,
        synced: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        self._wanted = wanted
        self._records: deque[Record] = deque()
        self._journals = _Journals(directory, start, synced=synced)
        self._close = weakref.finalize(self, self._journals.close)
        self._turn_ns = 0
        self._due_ns: int | None = None
        if timeout_s is not None:
            self._due_ns = clock.monotonic_ns() + int(timeout_s * clock.NS_PER_S)

    @property
    def positions(self) -> dict[str, Position]:
        """Feed -> where to go on: `tape.follow(start=follow.positions)`.

        They are of blocks: what was given of the block in hand is given again.
        """
        return self._journals.positions()

    def __iter__(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        while not self._is_over():
            if self._records:
                return self._records.popleft()
            if self._decode_next():
                continue
            if self._journals.is_over():
                break
            wait_any(self._journals.readers(), self._journals.sleeper, self._left_s())
        self.close()
        raise StopIteration

    async def __anext__(self) -> Record:
        while not self._is_over():
            # What is there at once is given without a pause, and a loop would do nothing else.
            if clock.monotonic_ns() - self._turn_ns > _TURN_NS:
                await asyncio.sleep(0)
                self._turn_ns = clock.monotonic_ns()
            if self._records:
                return self._records.popleft()
            if self._decode_next():
                continue
            if self._journals.is_over():
                break
            await self._journals.wait_in_loop(self._left_s())
            self._turn_ns = clock.monotonic_ns()
        self.close()
        raise StopAsyncIteration

    def _decode_next(self) -> bool:
        """Take what is wanted of the next block; False when there is none."""
        records = self._journals.next_block()
        self._records.extend(record for record in records or () if self._wanted(record))
        return records is not None

    def _is_over(self) -> bool:
        if not self._close.alive:
            return True
        return self._due_ns is not None and clock.monotonic_ns() >= self._due_ns

    def _left_s(self) -> float:
        if self._due_ns is None:
            return LONG_S
        return (self._due_ns - clock.monotonic_ns()) / clock.NS_PER_S

    def close(self) -> None:
        """End it: close the readers; may be called twice."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _streams(directory: RunDirectory) -> set[str]:
    """Feeds with a journal that hears a venue."""
    return {feed for feed in directory.feeds() if not feed.endswith(REST)}


def _end(directory: RunDirectory, feed: str, *, synced: bool) -> Position:
    """Where the journal ends now."""
    positions = Positions.for_reader(directory.positions(feed))
    if positions is not None:
        epoch, offset, _ = positions.limit(synced=synced)
        positions.close()
        return Position(epoch, offset)
    segments = list_segments(directory.journal(feed))
    if not segments:
        return BEGINNING
    return Position(segments[-1].epoch, segments[-1].base + segments[-1].size_bytes())


def _place_at(directory: RunDirectory, feed: str, start_ns: int) -> Position:
    """A segment's beginning before which nothing was received at `start_ns` or later."""
    found = BEGINNING
    for segment in list_segments(directory.journal(feed)):
        if _created_ns(segment) > start_ns:
            break
        found = segment.position
    return found


def _created_ns(segment: Segment) -> int:
    try:
        return segment.header().created_ns
    except (Corrupt, FileNotFoundError):
        return 0  # damaged, or half made: those behind it tell
