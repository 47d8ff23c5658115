"""What to ask REST for one gap, or for one window: the plan, made of what the journals hold.

A job that was begun before keeps its requests; only what they do not cover is planned anew.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ticktape import clock
from ticktape.config import FeedConfig
from ticktape.journal.reader import Reader
from ticktape.ledger.entries import Asked, End, Healed, Unhealable, Unsettled
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
    words_of,
)
from ticktape.ledger.healing import HEALED, SUSPECT, UNHEALABLE, HealBook, HealGap
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

    `seen` says of channels of all symbols how many were known, `strange` what was odd around the
    gap. `refusal` is why the venue gives nothing, `unknown` why nothing could be asked,
    `refused_symbols` what it knows no symbol by.
    """

    def __init__(
        self,
        gap: HealGap | None,
        parts: Parts,
        window: Window,
        chains: list[Chain],
        seen: dict[str, int],
        strange: str = "",
    ) -> None:
        self.gap = gap
        self.parts = parts
        self.window = window
        self.chains = chains
        self.seen = seen
        self.strange = strange
        self.refusal: Never | None = None
        self.unknown = ""
        self.refused_symbols: set[str] = set()

    def next_chain(self) -> Chain | None:
        """The request to go on with; None when all is asked."""
        return next((chain for chain in self.chains if not chain.done), None)

    def without(self, chain: Chain) -> None:
        """The venue refuses a symbol of this request: ask for its halves, to find out which."""
        halves = chain.halves()
        if not halves:
            self.refused_symbols.update(chain.symbols)
        at = self.chains.index(chain)
        self.chains[at : at + 1] = halves

    def asked(self) -> Asked:
        """What was asked for and answered to the end."""
        channels: dict[str, set[str]] = {}
        for chain in self.chains:
            if chain.done:
                channels.setdefault(chain.channel, set()).update(chain.symbols)
        return Asked(
            self.window.from_ns,
            self.window.to_ns,
            {channel: sorted(symbols) for channel, symbols in channels.items()},
            of_all=any(STAR in symbols for symbols in self.parts.healable.values()),
        )

    def rows(self) -> dict[str, int]:
        """Channel -> rows that came."""
        found: dict[str, int] = {}
        for chain in self.chains:
            found[chain.channel] = found.get(chain.channel, 0) + chain.rows
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
        times = " to ".join(f"{clock.iso_utc(each)[:-7]}Z" for each in self.window)  # to the ms
        where = f"from {times}" if self.gap is None else f"in and around it, from {times}"
        said = words_of(self.rows(), self.parts, self.seen, f"{where} of the venue's time")
        if self.strange:
            said += f"; {self.strange}"
        if self.refused_symbols:
            said += f"; REST knows no symbol {', '.join(sorted(self.refused_symbols))}"
        return said


# What became of a gap: event and counter, the gap's state, the entry.
_ENDINGS: dict[str, tuple[str, str, type[End]]] = {
    HEALED: ("healed", HEALED, Healed),
    UNHEALABLE: ("unhealable", UNHEALABLE, Unhealable),
    SUSPECT: ("unsettled", SUSPECT, Unsettled),
}


def ending_of(job: Job, gap: HealGap) -> tuple[str, str, type[End]]:
    """How the work on a gap ended: the event, the gap's state then, and the entry that says so."""
    if job.is_whole():
        return _ENDINGS[HEALED]
    # That nobody can tell is no proof that something is missing.
    return _ENDINGS[SUSPECT if gap.suspected else UNHEALABLE]


class Jobs:
    """Makes the jobs of one feed."""

    def __init__(
        self,
        feed: FeedConfig,
        rest_feed: str,
        book: HealBook,
        open_at: Callable[[Position], Reader],
        is_leaving: Callable[[], bool],
    ) -> None:
        self._feed = feed
        self._rest_feed = rest_feed
        self._book = book
        self._open_at = open_at
        self._is_leaving = is_leaving
        self._family = family_of(feed.url)
        self._overlap_ns = SIP_OVERLAP_NS if rest_feed == "sip" else OVERLAP_NS

    @property
    def delay_ns(self) -> int:
        """How long after its end a gap is asked for."""
        delay_ns = int(self._feed.heal_delay_s * clock.NS_PER_S)
        # Minutes that begin in the overlap are asked for, too, and have to be over by then.
        return delay_ns + (self._overlap_ns if self._feed.channels().get("bars") else 0)

    def of_gap(self, gap: HealGap) -> Job | None:
        """The requests for a gap that has ended; None when it is time to leave."""
        assert gap.to_ns is not None, "a gap that lasts cannot be asked for"
        subscribed = self._book.subscribed_in(gap) or {
            channel: list(symbols) for channel, symbols in self._feed.channels().items()
        }
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
            self._is_leaving,
        )
        if around is None:
            return None
        window = window_of(gap.from_ns, gap.to_ns, around, self._overlap_ns)
        job = self._job(gap, parts, window, gap.chains, around)
        self.keep(job)
        return job

    def of_window(self, from_ns: int, to_ns: int, channels: Channels) -> Job:
        """The requests for times of the venue, both inclusive."""
        parts = parts_of(channels, self._family)
        window = Window(from_ns, to_ns)
        self._book.in_hand = ""
        job = self._job(None, parts, window, self._book.pages, Around(None, 0, {}))
        self.keep(job)
        return job

    def keep(self, job: Job) -> None:
        """Have the book remember the requests as they are now, for the next start."""
        chains = {chain.key: chain for chain in job.chains}
        if job.gap is None:
            self._book.pages = chains
        else:
            job.gap.chains = chains

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
            old = begun.values()
            chains += chains_of(channel, asked, window, self._family, self._rest_feed, old)
        job = Job(gap, parts, window, chains, seen, around.words())
        if not chains:
            job.unknown = "all symbols were subscribed, and none was seen yet"
        return job

    def _all_seen(self, around: Around) -> set[str]:
        found: set[str] = set()
        for kind in _SYMBOLS_OF:
            found.update(around.symbols.get(kind, ()), self._book.seen.get(kind, ()))
        return found
