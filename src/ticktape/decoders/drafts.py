"""Records that are not made yet: what tells the newest of each symbol, read for many at once.

Who keeps the last values needs one record of a symbol where fifty came, and of the others only
whose and when they were. To make them all would cost twice what reading them does.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from ticktape.decoders.chunk import LAST_DATA_KIND
from ticktape.decoders.projection import BlockLike, Projection, Reader, Shape, Wire
from ticktape.decoders.text_drafts import (
    DRAFTS_PER_SYMBOL_MIN,
    Entries,
    TextDrafts,
    drafts_in_text,
    newest_of,
)
from ticktape.records import Record

_PASSES = 15  # a look in vain costs a fifth of the records: once in so many it is not felt

_Maker: TypeAlias = Callable[[Any, str, int, int, int, int], Record]


class Drafts:
    """Trades or quotes of one feed in the order of the journal; `records` makes some of them.

    `symbols` and `event_ns` have one for each; `counts` says how many came of each symbol, in the
    order in which the symbols first came; `first` is the first one's (epoch, seq).
    """

    __slots__ = (
        "_messages",
        "_read",
        "_rows",
        "_shape",
        "counts",
        "event_ns",
        "feed",
        "kind",
        "symbols",
    )

    def __init__(
        self,
        feed: str,
        shape: Shape,
        read: "_Read",
        rows: Sequence[int],
        messages: list[Any],
        symbols: list[str],
        counts: Mapping[str, int],
        event_ns: list[int],
    ) -> None:
        self.feed = feed
        self.kind = shape.kind
        self.symbols = symbols
        self.counts = counts
        self.event_ns = event_ns
        self._shape = shape
        self._read = read
        self._rows = rows  # the place of each among all messages that were read
        self._messages = messages

    @property
    def first(self) -> tuple[int, int]:
        """The epoch and seq of the first."""
        _, epoch, seq, _ = self._read.origin(self._rows[0])
        return epoch, seq

    def newest(self, latest: Mapping[str, int]) -> tuple[dict[str, int], int]:
        """The rows of the newest; `latest` says of each symbol how late it must at least be.

        Also how many are earlier than what came before them.
        """
        return newest_of(self.symbols, self.event_ns, latest)

    def records(self, rows: Iterable[int]) -> list[Record]:
        """Make the records of these, as `decode` makes them.

        Raises:
            ValueError: one of them cannot be made.
        """
        at, make, messages, feed = self._rows, self._shape.record, self._messages, self.feed
        origin = self._read.origin
        return [make(messages[row], feed, *origin(at[row])) for row in rows]


class Sifted(NamedTuple):
    """What some blocks brought: drafts, of each kind once, and the records of all other kinds."""

    drafts: Sequence[Drafts | TextDrafts]
    records: list[Record]

    @property
    def total(self) -> int:
        """How many records `decode` would have made."""
        return len(self.records) + sum(sum(drafts.counts.values()) for drafts in self.drafts)


class DraftingProjection(Projection):
    """A projection that need not make every record."""

    def __init__(self, feed: str, wire: Wire, *, is_brief: bool = False) -> None:
        super().__init__(feed, wire, is_brief=is_brief)
        self._has_drafts = any(shape.draft is not None for shape in wire.shapes.values())
        self._passes = 0  # calls of `drafts` that are not worth a look
        self._text_passes = 0  # of those, the ones in which the text is not

    def drafts(self, blocks: Sequence[BlockLike]) -> Sifted | None:
        """Read blocks that follow one another, and make records only of what is no draft.

        None when there is anything of which `decode` has more to say, as entries of our own and
        messages that cannot be read, and when drafts do not pay, because too few came of most
        symbols. Then it does not look again for some calls.
        """
        if self._passes or not self._has_drafts:
            self._passes = max(self._passes - 1, 0)
            return None
        sifted = self._sift_text(blocks)
        if sifted is not None:
            return sifted
        try:
            read = _Read()
            sifted = self._sift(read) if read.take(blocks, self._wire.reads) else None
        except (ValueError, RecursionError):
            sifted = None
        if sifted is None:
            self._passes = _PASSES
        return sifted

    def _sift_text(self, blocks: Sequence[BlockLike]) -> Sifted | None:
        """The same out of the text, where there is much of it and all of it is usual."""
        if self._text_passes or not self._usuals:
            self._text_passes = max(self._text_passes - 1, 0)
            return None
        entries = Entries.of(blocks)
        if entries is None:
            return None
        found = drafts_in_text(self.feed, self._wire, self._usuals, entries)
        if found is None:
            self._text_passes = _PASSES
            return None
        return Sifted(found, [])

    def _sift(self, read: "_Read") -> Sifted | None:
        shapes = self._wire.shapes
        present = set(map(type, read.messages))
        data = present - self._wire.controls
        if not data <= shapes.keys():
            return None
        kinds = [shapes[made].kind for made in data]
        drafts: list[Drafts] = []
        for made in data:
            # A kind in both encodings at once is too seldom to be put together here.
            if shapes[made].draft is not None and kinds.count(shapes[made].kind) == 1:
                found = self._drafts_of(made, read, is_alone=len(present) == 1)
                drafts += [] if found is None else [found]
        drafted = {each.kind for each in drafts}
        makers = {made: shapes[made].record for made in data if shapes[made].kind not in drafted}
        if not drafts:
            return None
        return Sifted(drafts, read.records(self.feed, makers) if makers else [])

    def _drafts_of(self, made: type, read: "_Read", *, is_alone: bool) -> Drafts | None:
        """Those of one type; None when there are too many symbols for it to be worth while."""
        messages, shape = read.messages, self._wire.shapes[made]
        rows: Sequence[int] = range(len(messages))
        if not is_alone:
            rows = [row for row in rows if messages[row].__class__ is made]
            messages = [messages[row] for row in rows]
        assert shape.draft is not None
        symbols = shape.draft.symbols(messages)
        counts = Counter(symbols)
        if len(counts) * DRAFTS_PER_SYMBOL_MIN > len(symbols):
            return None
        event_ns = shape.draft.event_ns(messages)
        return Drafts(self.feed, shape, read, rows, messages, symbols, counts, event_ns)


class _Read:
    """The messages of some blocks' entries, and where each entry's begin."""

    __slots__ = ("_entries", "_starts", "messages")

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self._starts: list[int] = []
        self._entries: list[tuple[BlockLike, int]] = []

    def take(self, blocks: Sequence[BlockLike], reads: tuple[Reader, Reader]) -> bool:
        """Read the blocks; False when an entry of our own is among theirs.

        Raises:
            ValueError, RecursionError: not all of it could be read.
        """
        messages, starts, entries = self.messages, self._starts, self._entries
        for block in blocks:
            for seq, (kind, payload) in enumerate(block.entries(), block.seq):
                if kind > LAST_DATA_KIND:
                    return False
                starts.append(len(messages))
                entries.append((block, seq))
                messages += reads[kind](payload)
        return True

    def records(self, feed: str, makers: Mapping[type, _Maker]) -> list[Record]:
        """The records of all messages of the types in `makers`, in order.

        Raises:
            ValueError: one of them cannot be made.
        """
        found: list[Record] = []
        ends = [*self._starts[1:], len(self.messages)]
        for (block, seq), begin, end in zip(self._entries, self._starts, ends, strict=True):
            recv_ns, epoch = block.recv_ns, block.epoch
            for index, message in enumerate(self.messages[begin:end]):
                make = makers.get(message.__class__)
                if make is not None:
                    found.append(make(message, feed, recv_ns, epoch, seq, index))
        return found

    def origin(self, row: int) -> tuple[int, int, int, int]:
        """What every record of this message has: recv_ns, epoch, seq and index."""
        at = bisect_right(self._starts, row) - 1
        block, seq = self._entries[at]
        return block.recv_ns, block.epoch, seq, row - self._starts[at]
