"""What to ask REST for one gap, or for one window: the plan, made of what the journals hold.

A job that was begun before keeps its requests; only what they do not cover is planned anew.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ticktape import clock
from ticktape.config import FeedConfig
from ticktape.journal.reader import Reader
from ticktape.ledger.heal_plan import (
    OVERLAP_NS,
    SIP_OVERLAP_NS,
    STAR,
    Around,
    Channels,
    Parts,
    Window,
    chains_of,
    concerned,
    family_of,
    parts_of,
    window_of,
    window_of_bars,
    words_of,
)
from ticktape.ledger.healing import HealBook, HealGap
from ticktape.ledger.paging import Chain
from ticktape.recorder.around import look_around
from ticktape.records import Position

if TYPE_CHECKING:
    from ticktape.ledger.heal_answers import Never

_SEEN_BYTES = 16 << 20  # where all symbols are wanted, so much on each side is looked through
_NEAR_BYTES = 1 << 20
_SYMBOLS_OF = ("trades", "quotes", "bars")  # other kinds may hold what is no symbol at all


class Job:
    """The requests for a gap, or, when `gap` is None, for a window that is compared.

    `seen` says of channels of all symbols how many were known. `refusal` is why the venue gives
    nothing, `unknown` why nothing could be asked, `refused_symbols` what it knows no symbol by.
    """

    def __init__(
        self,
        gap: HealGap | None,
        parts: Parts,
        window: Window,
        chains: list[Chain],
        seen: dict[str, int],
    ) -> None:
        self.gap = gap
        self.parts = parts
        self.window = window
        self.chains = chains
        self.seen = seen
        self.refusal: Never | None = None
        self.unknown = ""
        self.refused_symbols: set[str] = set()

    def next_chain(self) -> Chain | None:
        """The request to go on with; None when all is asked."""
        return next((chain for chain in self.chains if not chain.done), None)

    def without(self, chain: Chain) -> None:
        """The venue refuses a symbol of this request: ask for its halves, to find out which."""
        symbols = chain.symbols
        at = self.chains.index(chain)
        if len(symbols) == 1:
            self.refused_symbols.update(symbols)
            del self.chains[at]
            return
        middle = len(symbols) // 2
        self.chains[at : at + 1] = [
            Chain(chain.path, chain.query | {"symbols": ",".join(half)})
            for half in (symbols[:middle], symbols[middle:])
        ]

    def rows(self) -> dict[str, int]:
        """Channel -> rows that came."""
        found: dict[str, int] = {}
        for chain in self.chains:
            channel = chain.path.rpartition("/")[2]
            found[channel] = found.get(channel, 0) + chain.rows
        return found

    def is_whole(self) -> bool:
        """Whether everything that was subscribed came."""
        whole = not (self.refused_symbols or self.parts.lost)
        return whole and self.refusal is None and not self.unknown

    def words(self) -> str:
        """What became of it."""
        if self.refusal is not None:
            return self.refusal.words
        if self.unknown:
            return self.unknown
        said = words_of(self.rows(), self.parts, self.seen)
        if self.refused_symbols:
            said += f"; REST knows no symbol {', '.join(sorted(self.refused_symbols))}"
        return said


class Jobs:
    """Makes the jobs of one feed."""

    def __init__(
        self,
        feed: FeedConfig,
        rest_feed: str,
        book: HealBook,
        open_at: Callable[[Position], Reader],
    ) -> None:
        self._feed = feed
        self._rest_feed = rest_feed
        self._book = book
        self._open_at = open_at
        self._family = family_of(feed.url)
        self._overlap_ns = SIP_OVERLAP_NS if rest_feed == "sip" else OVERLAP_NS

    def of_gap(self, gap: HealGap) -> Job:
        """The requests for a gap that has ended."""
        assert gap.to_ns is not None, "a gap that lasts cannot be asked for"
        subscribed = gap.subscribed or {c: list(s) for c, s in self._feed.channels().items()}
        parts = parts_of(concerned(subscribed, gap.symbol, gap.channels), self._family)
        if not parts.healable:
            job = Job(gap, parts, Window(gap.from_ns, gap.to_ns), [], {})
            if not parts.lost:
                job.unknown = "nothing is known of what was subscribed"
            return job
        has_star = any(STAR in symbols for symbols in parts.healable.values())
        around = look_around(
            self._open_at,
            self._feed.kind,
            self._feed.name,
            gap.from_ns,
            gap.to_ns,
            _SEEN_BYTES if has_star else _NEAR_BYTES,
        )
        window = window_of(gap.from_ns, gap.to_ns, around, self._overlap_ns)
        job = self._job(gap, parts, window, gap.chains, around)
        gap.chains = {chain.key: chain for chain in job.chains}
        return job

    def of_window(self, from_ns: int, to_ns: int, channels: Channels) -> Job:
        """The requests for times of the venue, both inclusive."""
        parts = parts_of(channels, self._family)
        window = Window(from_ns, to_ns)
        self._book.in_hand = ""
        job = self._job(None, parts, window, self._book.pages, Around(None, 0, {}))
        self._book.pages.update({chain.key: chain for chain in job.chains})
        return job

    def _job(
        self,
        gap: HealGap | None,
        parts: Parts,
        window: Window,
        begun: dict[str, Chain],
        around: Around,
    ) -> Job:
        chains: list[Chain] = []
        seen: dict[str, int] = {}
        all_seen = self._all_seen(around)
        for channel, symbols in parts.healable.items():
            asked = set(symbols) - {STAR}
            if STAR in symbols:
                asked |= all_seen
                seen[channel] = len(asked)
            old = self._begun(begun.values(), window, is_gap=gap is not None)
            # What was compared is said by the times of the rows, those of bars as well.
            of_bars = gap is None and channel == "bars"
            times = window_of_bars(window) if of_bars else window
            chains += chains_of(channel, asked, times, self._family, self._rest_feed, old)
        job = Job(gap, parts, window, chains, seen)
        if not chains:
            job.unknown = "all symbols were subscribed, and none was seen yet"
        return job

    def _all_seen(self, around: Around) -> set[str]:
        found: set[str] = set()
        for kind in _SYMBOLS_OF:
            found.update(around.symbols.get(kind, ()), self._book.seen.get(kind, ()))
        return found

    def _begun(self, chains: Iterable[Chain], window: Window, *, is_gap: bool) -> list[Chain]:
        """Those that go on: a gap's all, of a comparison those of the same window."""
        end = clock.iso_utc(window.to_ns)
        minute_ns = 60 * clock.NS_PER_S
        ends = (end, clock.iso_utc(window.to_ns - minute_ns))
        return [chain for chain in chains if is_gap or chain.query["end"] in ends]
