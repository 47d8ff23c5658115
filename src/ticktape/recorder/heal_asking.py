"""Asks REST for one page and journals it; what the answer means for a gap is for the healer to say.

What came is written before anything looks at it. Only of a request whose answers are no pages, one
after the other, no more than a few are kept.
"""

import random
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from ticktape import clock
from ticktape.config import heal_base
from ticktape.errors import DecodeError, Disconnected
from ticktape.feeds.rest import RestClient, RestJournal
from ticktape.ledger.heal_answers import Again, Good, Meaning, Pace, backoff_ns, meaning_of
from ticktape.ledger.paging import Chain, read_page, url_of
from ticktape.recorder.task import HealFeed

_NO_PAGES_MAX = 3  # bodies of one request, kept to see what they are


class Heard(NamedTuple):
    """An answer: HTTP's status, 0 when there was none, and what it means."""

    status: int
    meaning: Meaning


class Asker:
    """Asks for the pages of one feed, at a pace that feeds of one account share.

    `failures` are requests in vain in a row; whoever finds that one was counts it.
    """

    def __init__(
        self,
        base: str,
        client: RestClient,
        journal: RestJournal,
        pace: Pace,
        wall: clock.WallClock,
        source: random.Random,
    ) -> None:
        self._base = base
        self._client = client
        self._journal = journal
        self._pace = pace
        self._wall = wall
        self._source = source
        self._no_pages: Counter[str] = Counter()
        self.failures = 0

    def wait_ns(self) -> int:
        """How long to wait before the next request; 0 when it may go."""
        return self._pace.wait_ns(self._wall.monotonic_ns())

    def ask(self, chain: Chain) -> Heard:
        """Ask for the next page of a chain and take it, if it is one."""
        self._pace.sent(self._wall.monotonic_ns())
        try:
            answer = self._client.get(url_of(self._base, chain.request()))
        except Disconnected as error:
            return Heard(0, self._again(str(error.args[0])))
        mono_ns = self._wall.monotonic_ns()
        recv_ns = self._wall.wall_at(mono_ns)
        self._pace.answered(answer.headers, recv_ns, mono_ns)
        if answer.status == 200:
            return Heard(200, self._take(chain, answer.body, mono_ns, recv_ns))
        return Heard(
            answer.status,
            meaning_of(
                answer.status,
                answer.headers,
                answer.body,
                failures=self.failures,
                now_ns=recv_ns,
                jitter=self._source.random(),
            ),
        )

    def _take(self, chain: Chain, body: bytes, mono_ns: int, recv_ns: int) -> Meaning:
        key = chain.key
        try:
            if self._no_pages[key] >= _NO_PAGES_MAX:
                read_page(body)
            self._journal.page(chain.page(), body, mono_ns, recv_ns)
            chain.take(body)
        except DecodeError as error:
            self._no_pages[key] += 1
            return self._again(str(error.args[0]))
        del self._no_pages[key]
        self.failures = 0
        return Good()

    def _again(self, words: str) -> Again:
        return Again(backoff_ns(self.failures, self._source.random()), words)

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._client.close()


def paces_of(feeds: Iterable[HealFeed]) -> dict[str, Pace]:
    """Feed -> its pace, one for all that ask one venue with one key: the slowest that was set."""
    accounts: dict[tuple[str, str], list[HealFeed]] = {}
    for each in feeds:
        accounts.setdefault((heal_base(each.feed), each.key), []).append(each)
    found: dict[str, Pace] = {}
    for together in accounts.values():
        pace = Pace(min(each.feed.heal_per_minute for each in together))
        found.update((each.name, pace) for each in together)
    return found
