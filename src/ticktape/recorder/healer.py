"""Heals one feed: reads what its journals say of gaps, asks REST, writes what came, step by step.

Both the recorder's child and `ticktape heal` are this, with another loop around it. A gap is called
healed only when all of its pages are on the disk, and nothing that was subscribed in it is lost.
"""

import random
from collections.abc import Callable, Sequence

from ticktape import clock
from ticktape.config import REST, JournalConfig, heal_base, heal_feed_of
from ticktape.directory import LEDGER, RunDirectory
from ticktape.errors import JournalError
from ticktape.feeds.rest import RestClient, RestJournal
from ticktape.journal.blocks import Block
from ticktape.journal.disk import Disk
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.ledger.entries import (
    Compared,
    End,
    Failed,
    Healing,
    RestEntry,
    Started,
    Stopped,
)
from ticktape.ledger.heal_answers import (
    MINUTE_NS,
    RECENT_NS,
    Again,
    Aside,
    Good,
    Never,
    Pace,
    TooRecent,
)
from ticktape.ledger.healing import HEALING, HealGap, in_words
from ticktape.ledger.paging import Chain
from ticktape.recorder.heal_asking import Asker, Heard
from ticktape.recorder.heal_jobs import Job, Jobs, ending_of
from ticktape.recorder.heal_memory import HealMemory
from ticktape.recorder.heal_news import HealNews, HealStatistics
from ticktape.recorder.task import HealFeed
from ticktape.records import Position

IDLE_NS = clock.NS_PER_S
_DISK_RETRY_NS = clock.NS_PER_S // 2
_SAVE_NS = 5 * clock.NS_PER_S
_SAVE_ANYWAY_NS = 60 * clock.NS_PER_S  # so much of the feed's journal is read twice after a crash
_STILL_RECENT_NS = 60 * clock.NS_PER_S
_HOUR_NS = 3600 * clock.NS_PER_S  # a gap whose requests fail is put aside no longer than that
_DRIFT_NS = clock.NS_PER_S  # so far our clock may be from the system's
_LIMIT = 429
_RECENT_NS_MAX = RECENT_NS + 3600 * clock.NS_PER_S
_MARGIN_NS = 20 * clock.NS_PER_S  # overlap, and clocks that differ


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
        pace: how fast to ask, shared with the other feeds of the account; of its own when not
            given.
        wall: the clock; it is anchored again when the system's has moved away.
        source: of jitter.
        disk: the system's, or one that a test can break.
        is_leaving: asked while a long journal is read.

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
        pace: Pace | None = None,
        wall: clock.WallClock | None = None,
        source: random.Random,
        disk: Disk | None = None,
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        feed = healed.feed
        self.feed = feed
        self._hear = hear
        self._wall = wall or clock.WallClock()
        client = client or RestClient(
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
            disk=disk,
            on_trouble=self._on_trouble,
            wall=self._wall,
        )
        self._journal = RestJournal(self._writer, self._wall)
        self._lost = self._journal.lost()
        pace = pace or Pace(feed.heal_per_minute)
        base = heal_base(feed)
        self._asker = Asker(base, client, self._journal, pace, self._wall, source)
        self._memory = HealMemory(directory, feed.name)
        self.book = self._memory.book
        if self._trouble:
            self.book.ask_anew()  # what an earlier start wrote may be lost
        self._jobs = Jobs(
            feed, heal_feed_of(feed), self.book, lambda at: open_at(feed.name, at), is_leaving
        )
        self._job: Job | None = None
        self._delay_ns = self._jobs.delay_ns
        self._aside = Aside()
        self._ends: list[End | Compared] = []  # told since the last time that all was safe
        # These are of the monotonic clock: the other one may be set.
        self._not_before_ns = 0
        self._save_at_ns = self._save_anyway_at_ns = 0
        self._restarted: set[str] = set()
        self._closed = False
        self._counts = HealStatistics(feed.name, 0, 0, 0, 0, 0, 0, 0, 0)
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
        self._follow_clock()
        now_ns = self._wall.monotonic_ns()
        self._look_after_disk(now_ns)
        if now_ns < self._not_before_ns:
            return self._not_before_ns - now_ns
        if not self._journal.takes():
            return _DISK_RETRY_NS  # what came now would wait in memory, and be dropped at last
        if self._job is None:
            gap = self.book.next_gap(self._wall.wall_ns(), self._delay_ns, self._aside.keys(now_ns))
            if gap is None:
                return IDLE_NS
            self._begin(gap)
        job = self._job
        if job is None:
            return 0
        chain = job.next_chain()
        if chain is None:
            return self._finish(job)
        return self._asker.wait_ns() or self._ask(job, chain)

    def _follow_clock(self) -> None:
        # A pause between the two looks of one measure would pass for a step: the least counts.
        if min(abs(self._wall.drift_ns()) for _ in range(3)) > _DRIFT_NS:
            self._wall.reanchor()

    def _begin(self, gap: HealGap) -> None:
        self._say(Healing(gap.said(HEALING), gap.suspected))
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

    def _ask(self, job: Job, chain: Chain) -> int:
        before = chain.rows
        heard = self._asker.ask(chain)
        self._add(requests=1)
        if not isinstance(heard.meaning, Good):
            return self._refused(job, chain, heard)
        if job.gap is not None:
            self._aside.forget(job.gap.key)
        self._add(pages=1, rows=chain.rows - before)
        return 0

    def _refused(self, job: Job, chain: Chain, heard: Heard) -> int:
        status, meaning = heard
        if isinstance(meaning, TooRecent):
            return self._too_recent(job, status, meaning.words)
        if isinstance(meaning, Again):
            return self._in_vain(job, status, meaning)
        assert isinstance(meaning, Never)
        if chain.token and status in (400, 422) and chain.key not in self._restarted:
            # Tokens are not promised to live long: all of the request is asked anew, once.
            self._restarted.add(chain.key)
            chain.restart()
            return self._wait(status, Again(0, f"{meaning.words}: asking it from its beginning"))
        if status == 400 and not chain.token and "symbol" in meaning.words:
            # One that the stream has and REST refuses must not cost all others of its request.
            job.without(chain)
            self._jobs.keep(job)
            return self._wait(status, Again(0, meaning.words))
        job.refusal = meaning
        return self._finish(job)

    def _too_recent(self, job: Job, status: int, words: str) -> int:
        """Leave the gap until it is old enough; the feed's others wait as long from now on."""
        self.book.recent_ns = RECENT_NS + _MARGIN_NS
        age_ns = 0 if job.gap is None else self._wall.wall_ns() - (job.gap.to_ns or 0)
        if job.gap is None or age_ns > _RECENT_NS_MAX:
            job.refusal = Never(words, "Ask again when what is asked for is 15 minutes old.")
            return self._finish(job)
        self._job = None
        if age_ns >= self.book.recent_ns:
            # The venue's clock is behind, or a tape is played.
            self._aside.put(job.gap.key, self._wall.monotonic_ns() + _STILL_RECENT_NS)
        return self._wait(status, Again(0, f"{words}: waiting until it is old enough"))

    def _in_vain(self, job: Job, status: int, again: Again) -> int:
        """Wait and ask once more; a gap that fails and fails is put aside for the others."""
        self._asker.failures += 1
        gap = job.gap
        if gap is not None and status != _LIMIT:
            now_ns = self._wall.monotonic_ns()
            # Without any answer it is hardly the gap's fault.
            if self._aside.failed(gap.key, now_ns, _HOUR_NS if status else MINUTE_NS):
                self._job = None
                # The others are planned anew: many gaps of many symbols would be a lot to keep.
                gap.chains = {key: each for key, each in gap.chains.items() if each.pages}
        return self._wait(status, again)

    def _wait(self, status: int, again: Again) -> int:
        self._add(failed=1)
        self._say(Failed(status, again.words))
        self._news("waiting", again.words)
        self._not_before_ns = self._wall.monotonic_ns() + again.wait_ns
        return again.wait_ns

    def _finish(self, job: Job) -> int:
        """All is asked: say so, but only when all that came survives power loss."""
        if not self._journal.is_safe():
            return _DISK_RETRY_NS
        if self._journal.lost() != self._lost:
            return 0  # some of it is not there: the next step has it asked anew
        self._job = None
        self._asker.failures = 0
        words, gap = job.words(), job.gap
        hint = "" if job.refusal is None else job.refusal.hint
        if gap is None:
            if job.refusal is None:
                asked = job.asked()
                self._end(Compared(asked.from_ns, asked.to_ns, asked.channels))
            self._news("compared" if job.refusal is None else "refused", words, hint)
            return 0
        self._aside.forget(gap.key)
        event, state, kind = ending_of(job, gap)
        self._end(kind(gap.said(state), words, job.asked()))
        self._add(**{event: 1})
        self._news(event, f"gap {in_words(gap)}: {words}", hint, gap)
        return 0

    def _end(self, entry: End | Compared) -> None:
        self._ends.append(entry)
        self._say(entry)

    def due_ns(self, gap: HealGap) -> int | None:
        """When a gap is to be asked for, by our wall clock; None while it lasts."""
        due_ns = self.book.due_ns(gap, self._delay_ns)
        aside_ns = self._aside.until_ns(gap.key)
        if due_ns is None or not aside_ns:
            return due_ns
        return max(due_ns, self._wall.wall_at(aside_ns))

    def next_due_ns(self) -> int | None:
        """When there is something to do, by our wall clock; None when nothing will be."""
        not_before_ns = self._wall.wall_at(self._not_before_ns)
        if self._job is not None:
            return max(not_before_ns, self._wall.wall_ns())
        due = [self.due_ns(gap) for gap in self.book.waiting()]
        known = [due_ns for due_ns in due if due_ns is not None]
        return max(min(known), not_before_ns) if known else None

    # The rest.

    @property
    def failures(self) -> int:
        """Requests in vain in a row."""
        return self._asker.failures

    def _say(self, entry: RestEntry) -> None:
        self._journal.say(entry)
        self.book.see_own(entry)

    def _news(self, event: str, words: str, hint: str = "", gap: HealGap | None = None) -> None:
        self._hear(HealNews(event, self.feed.name, words, hint, gap))

    def _on_trouble(self, error: JournalError) -> None:
        words = str(error.args[0])
        if words != self._trouble:
            self._trouble = words
            self._news("trouble", words, error.hint)

    def _look_after_disk(self, now_ns: int) -> None:
        self._writer.tick()
        if self._journal.lost() != self._lost and self._journal.takes():
            self._mend()
        if now_ns >= self._save_at_ns:
            self._save_at_ns = now_ns + _SAVE_NS
            self._save(anyway=now_ns >= self._save_anyway_at_ns)

    def _mend(self) -> None:
        """The disk has lost some of what was written: ask anew, and say again what was said."""
        self._lost = self._journal.lost()
        self.book.ask_anew()
        if self._job is not None and self._job.gap is not None:
            self._job = None
        for entry in self._ends:
            self._journal.say(entry)

    def _save(self, *, anyway: bool = False) -> None:
        """Keep what is known; what is not kept is read again from the journals."""
        is_new = anyway or self._memory.is_new(self._journal.position)
        if not is_new or not self._journal.is_safe() or self._journal.lost() != self._lost:
            return
        self._ends = []
        self._save_anyway_at_ns = self._wall.monotonic_ns() + _SAVE_ANYWAY_NS
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
        if self._journal.is_safe() and self._journal.lost() != self._lost:
            self._mend()
        self._say(Stopped())
        self._save()
        self._asker.close()
        self._writer.close()
