"""Heals one feed: reads what its journals say of gaps, asks REST, writes what came, step by step.

Both the recorder's child and `ticktape heal` are this, with another loop around it. A gap is called
healed only when all of its pages are on the disk, and nothing that was subscribed in it is lost.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from ticktape import clock
from ticktape.config import REST, JournalConfig, heal_base, heal_feed_of
from ticktape.directory import LEDGER, RunDirectory
from ticktape.errors import DecodeError, Disconnected, JournalError
from ticktape.feeds.rest import RestClient, RestJournal
from ticktape.journal.blocks import Block
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.ledger.entries import (
    Compared,
    Failed,
    Healed,
    Healing,
    Started,
    Stopped,
    Unhealable,
)
from ticktape.ledger.heal_answers import (
    RECENT_NS,
    Again,
    Meaning,
    Never,
    Pace,
    TooRecent,
    backoff_ns,
    meaning_of,
)
from ticktape.ledger.healing import HealGap, in_words
from ticktape.ledger.paging import Chain, url_of
from ticktape.recorder.heal_jobs import Job, Jobs
from ticktape.recorder.heal_memory import HealMemory
from ticktape.recorder.task import HealFeed
from ticktape.records import Position

IDLE_NS = clock.NS_PER_S
_DISK_RETRY_NS = clock.NS_PER_S // 2
_SAVE_NS = 5 * clock.NS_PER_S
_SAVE_ANYWAY_NS = 60 * clock.NS_PER_S  # so much of the feed's journal is read twice after a crash
_STILL_RECENT_NS = 60 * clock.NS_PER_S
_RECENT_NS_MAX = RECENT_NS + 3600 * clock.NS_PER_S
_MARGIN_NS = 20 * clock.NS_PER_S  # overlap, and clocks that differ


class HealNews(NamedTuple):
    """Something became of a gap, or of a request: `healing`, `healed`, `unhealable`, `waiting`.

    Of a comparison `compared` or `refused`, of the disk `trouble` and `mended`.
    """

    event: str
    feed: str
    words: str
    hint: str = ""
    gap: HealGap | None = None


class HealStatistics(NamedTuple):
    """Counters since this healer's start; `waiting` gaps are those not healed yet."""

    feed: str
    waiting: int
    healed: int
    unhealable: int
    requests: int
    failed: int
    pages: int
    rows: int


class Healer:
    """The healing of one feed; the one writer of its `.rest` journal.

    Args:
        healed: the feed, and how to show who asks.
        directory: the run's.
        run: its name.
        journal: how safe, how long.
        open_at: a reader of any journal of the run from a position.
        hear: called with all news.
        client: who asks; made of `healed` when not given.
        wall: the clock.
        source: of jitter.

    Raises:
        Locked: another healer is at work on this feed.
        ConfigError: the proxy or the CA cannot be used.
    """

    def __init__(
        self,
        healed: HealFeed,
        directory: RunDirectory,
        run: str,
        journal: JournalConfig,
        open_at: Callable[[str, Position], Reader],
        hear: Callable[[HealNews], None],
        *,
        client: RestClient | None = None,
        wall: clock.WallClock | None = None,
        source: random.Random,
    ) -> None:
        feed = healed.feed
        self.feed = feed
        self._hear = hear
        self._wall = wall or clock.WallClock()
        self._source = source
        self._base = heal_base(feed)
        self._client = client or RestClient(
            healed.key, healed.secret, proxy=healed.proxy, ca_file=feed.ca_file
        )
        name = feed.name + REST
        self._trouble = ""  # a start may have some already
        self._writer = Writer(
            directory.journal(name),
            directory.positions(name),
            WriterConfig(
                journal.sync, journal.commit_ms, journal.segment_bytes, journal.memory_bytes
            ),
            on_trouble=self._on_trouble,
            wall=self._wall,
        )
        self._journal = RestJournal(self._writer, self._wall)
        self._memory = HealMemory(directory, feed.name)
        self.book = self._memory.book
        self._jobs = Jobs(feed, heal_feed_of(feed), self.book, lambda at: open_at(feed.name, at))
        self._job: Job | None = None
        self._pace = Pace(feed.heal_per_minute)
        self._delay_ns = int(feed.heal_delay_s * clock.NS_PER_S)
        self._failures = 0
        self._not_before_ns = 0
        self._save_at_ns = self._save_anyway_at_ns = 0
        self._restarted: set[str] = set()
        self._closed = False
        self._counts = HealStatistics(feed.name, 0, 0, 0, 0, 0, 0, 0)
        self._say(Started(run))

    # What the journals say.

    def starts(self) -> dict[str, Position]:
        """Journal -> where to go on reading: the feed's own, and the ledger's."""
        return {name: self._memory.start(name) for name in (self.feed.name, LEDGER)}

    def see(self, name: str, blocks: Sequence[Block]) -> None:
        """Take the next blocks of one of them."""
        self._memory.see(name, blocks)

    # One step.

    def step(self) -> int:
        """Do what is due, one request at most; how many nanoseconds there is nothing to do then."""
        now_ns = self._wall.wall_ns()
        self._look_after_disk(now_ns)
        if now_ns < self._not_before_ns:
            return self._not_before_ns - now_ns
        if self._job is None:
            gap = self.book.next_gap(now_ns, self._delay_ns)
            if gap is None:
                return IDLE_NS
            self._begin(gap)
        job = self._job
        assert job is not None
        chain = job.next_chain()
        if chain is None:
            return self._finish(job)
        wait_ns = self._pace.wait_ns(now_ns)
        return wait_ns or self._ask(job, chain, now_ns)

    def _begin(self, gap: HealGap) -> None:
        self._say(Healing(gap.said("healing")))
        self._job = self._jobs.of_gap(gap)
        self._news("healing", f"asking REST for the gap {in_words(gap)}", gap=gap)

    def compare(self, from_ns: int, to_ns: int, channels: dict[str, list[str]]) -> None:
        """Ask for a window of the venue's time though no gap is there; `step` does it."""
        assert self._job is None, "one after the other"
        self._job = self._jobs.of_window(from_ns, to_ns, channels)

    @property
    def comparing(self) -> bool:
        """Whether a comparison is under way."""
        return self._job is not None and self._job.gap is None

    def _ask(self, job: Job, chain: Chain, now_ns: int) -> int:
        self._pace.sent(now_ns)
        self._add(requests=1)
        try:
            answer = self._client.get(url_of(self._base, chain.request()))
        except Disconnected as error:
            return self._in_vain(0, Again(self._backoff_ns(), str(error.args[0])))
        mono_ns = self._wall.monotonic_ns()
        recv_ns = self._wall.wall_at(mono_ns)
        self._pace.answered(answer.headers, recv_ns)
        if answer.status == 200:
            # Raw first: what follows may fail on what stands in it.
            self._journal.page(chain.page(), answer.body, mono_ns, recv_ns)
            return self._taken(chain, answer.body)
        meaning = meaning_of(
            answer.status,
            answer.headers,
            answer.body,
            failures=self._failures,
            now_ns=recv_ns,
            jitter=self._source.random(),
        )
        return self._refused(job, chain, answer.status, meaning)

    def _taken(self, chain: Chain, body: bytes) -> int:
        before = chain.rows
        try:
            chain.take(body)
        except DecodeError as error:
            return self._in_vain(200, Again(self._backoff_ns(), str(error.args[0])))
        self._failures = 0
        self._add(pages=1, rows=chain.rows - before)
        return 0

    def _refused(self, job: Job, chain: Chain, status: int, meaning: Meaning) -> int:
        if isinstance(meaning, TooRecent):
            return self._too_recent(job, status, meaning.words)
        if isinstance(meaning, Again):
            return self._in_vain(status, meaning)
        assert isinstance(meaning, Never)
        if chain.token and status in (400, 422) and chain.key not in self._restarted:
            # Tokens are not promised to live long: all of the request is asked anew, once.
            self._restarted.add(chain.key)
            chain.restart()
            return self._in_vain(status, Again(0, f"{meaning.words}: asking it from its beginning"))
        if status == 400 and not chain.token and "symbol" in meaning.words:
            # One that the stream has and REST refuses must not cost all others of its request.
            job.without(chain)
            return self._in_vain(status, Again(0, meaning.words))
        job.refusal = meaning
        return self._finish(job)

    def _too_recent(self, job: Job, status: int, words: str) -> int:
        """Leave the gap until it is old enough; the feed's others wait as long from now on."""
        self.book.recent_ns = RECENT_NS + _MARGIN_NS
        now_ns = self._wall.wall_ns()
        gap = job.gap
        if gap is None or gap.to_ns is None or now_ns - gap.to_ns > _RECENT_NS_MAX:
            job.refusal = Never(words, "Ask again when what is asked for is 15 minutes old.")
            return self._finish(job)
        self._job = None
        wait_ns = 0
        if now_ns - gap.to_ns >= self.book.recent_ns:
            wait_ns = _STILL_RECENT_NS  # the venue's clock is behind: a tape that is played
        return self._in_vain(status, Again(wait_ns, f"{words}: waiting until it is old enough"))

    def _in_vain(self, status: int, again: Again) -> int:
        self._failures += 1
        self._add(failed=1)
        self._say(Failed(status, again.words))
        self._news("waiting", again.words)
        self._not_before_ns = self._wall.wall_ns() + again.wait_ns
        return again.wait_ns

    def _backoff_ns(self) -> int:
        return backoff_ns(self._failures, self._source.random())

    def _finish(self, job: Job) -> int:
        """All is asked: say so, but only when all that came survives power loss."""
        if not self._journal.is_safe():
            self._not_before_ns = self._wall.wall_ns() + _DISK_RETRY_NS
            return _DISK_RETRY_NS
        self._job = None
        self._failures = 0
        words, gap = job.words(), job.gap
        hint = "" if job.refusal is None else job.refusal.hint
        if gap is None:
            if job.refusal is None:
                self._say(Compared(job.window.from_ns, job.window.to_ns, job.parts.healable))
            self._news("compared" if job.refusal is None else "refused", words, hint)
            return 0
        state = "healed" if job.is_whole() else "unhealable"
        kind = Healed if state == "healed" else Unhealable
        self._say(kind(gap.said(state), words))
        self._add(healed=state == "healed", unhealable=state == "unhealable")
        self._news(state, f"gap {in_words(gap)}: {words}", hint, gap)
        return 0

    def due_ns(self, gap: HealGap) -> int | None:
        """When a gap is to be asked for; None while it lasts."""
        return self.book.due_ns(gap, self._delay_ns)

    def next_due_ns(self) -> int | None:
        """When there is something to do, by our wall clock; None when nothing will be."""
        if self._job is not None:
            return max(self._not_before_ns, self._wall.wall_ns())
        due = [self.due_ns(gap) for gap in self.book.waiting()]
        known = [due_ns for due_ns in due if due_ns is not None]
        return max(min(known), self._not_before_ns) if known else None

    # The rest.

    @property
    def failures(self) -> int:
        """Requests in vain in a row."""
        return self._failures

    def _say(self, entry: msgspec.Struct) -> None:
        self._journal.say(entry)
        self.book.see_own(entry)  # type: ignore[arg-type]

    def _news(self, event: str, words: str, hint: str = "", gap: HealGap | None = None) -> None:
        self._hear(HealNews(event, self.feed.name, words, hint, gap))

    def _on_trouble(self, error: JournalError) -> None:
        words = str(error.args[0])
        if words != self._trouble:
            self._trouble = words
            self._news("trouble", words, error.hint)

    def _look_after_disk(self, now_ns: int) -> None:
        self._writer.tick()
        if now_ns >= self._save_at_ns:
            self._save_at_ns = now_ns + _SAVE_NS
            self._save(anyway=now_ns >= self._save_anyway_at_ns)

    def _save(self, *, anyway: bool = False) -> None:
        """Keep what is known; what is not kept is read again from the journals."""
        is_new = anyway or self._memory.is_new(self._journal.position)
        if not is_new or not self._journal.is_safe():
            return
        self._save_anyway_at_ns = self._wall.wall_ns() + _SAVE_ANYWAY_NS
        if self._trouble:
            self._trouble = ""
            self._news("mended", "the disk of the healer's journal takes writes again")
        self._memory.save(self._journal.position)

    def _add(self, **more: int) -> None:
        counts = self._counts._asdict()
        self._counts = self._counts._replace(**{n: counts[n] + by for n, by in more.items()})

    def statistics(self) -> HealStatistics:
        """The counters as they are now."""
        return self._counts._replace(waiting=len(self.book.waiting()))

    def close(self) -> None:
        """End the journal as planned; what is unfinished is taken up by the next start.

        May be called twice.
        """
        if self._closed:
            return
        self._closed = True
        self._say(Stopped())
        self._save()
        self._client.close()
        self._writer.close()
