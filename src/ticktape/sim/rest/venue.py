"""The venue's REST interface without a socket: a path and a query in, an answer out.

Pure but for what has been played meanwhile: the caller says what time it is. Every request gets an
answer, whatever it asks. The source of all of it is reference/alpaca.md §6.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ticktape.clock import NS_PER_S
from ticktape.sim.rest.answers import Answer, RequestRefused, of_status
from ticktape.sim.rest.config import RestConfig, RestFault
from ticktape.sim.rest.endpoints import Endpoints, Request, route
from ticktape.sim.rest.limits import FaultMenu, RateLimit
from ticktape.sim.rest.parameters import Query
from ticktape.sim.rest.past import Past, Playing
from ticktape.sim.states import Rules


class RestStatistics(NamedTuple):
    """What was asked and answered so far; counts only grow."""

    requests: int
    rows: int
    limited: int
    failed: int


class Venue:
    """Answers requests from the past of `streams`; one at a time."""

    def __init__(self, streams: Mapping[str, Playing], config: RestConfig) -> None:
        self._past = Past(streams, shows_all=config.shows_all)
        self._endpoints = Endpoints(self._past, config)
        self._rules = Rules(keys=config.keys, tokens=config.tokens)
        self._limit = RateLimit(config.rate_limit)
        self._faults = FaultMenu(config.faults)
        self._requests = self._rows = self._limited = self._failed = 0

    def inject(self, faults: tuple[RestFault, ...]) -> None:
        """Let these strike from now on."""
        self._faults.add(faults)

    def counts(self) -> dict[str, int]:
        """Return how much of each path is past; `answer` goes by it."""
        return self._past.counts()

    def statistics(self) -> RestStatistics:
        """Return what was done so far."""
        return RestStatistics(self._requests, self._rows, self._limited, self._failed)

    def answer(
        self,
        path: str,
        query: Query,
        headers: Mapping[str, str],
        *,
        now_ns: int,
        counts: Mapping[str, int] | None = None,
    ) -> Answer:
        """Answer one request; `headers` must be case-insensitive, `now_ns` is the wall clock's."""
        self._requests += 1
        limits: Mapping[str, str] = {}
        try:
            work, words = route(path)
            user = self._login(headers, is_open=words.get("family") == "crypto")
            allowance = self._limit.take(user, now_ns)
            limits = allowance.headers
            if not allowance.allowed:
                raise of_status(429)
            if status := self._faults.strike():
                # A client that waits for the limit to be reset shall not wait for the next minute.
                soon = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": _next_second(now_ns)}
                limits = {**limits, **soon} if status == 429 else limits
                raise of_status(status)
            found = work(self._endpoints, Request(words, query, counts or self.counts()))
        except RequestRefused as error:
            found = error.answer()
        self._rows += found.rows
        self._limited += found.status == 429
        self._failed += found.status >= 400
        shows_limits = found.status in (200, 400, 422, 429)
        return found._replace(headers=limits) if shows_limits else found

    def _login(self, headers: Mapping[str, str], *, is_open: bool) -> str:
        """Return who asks; crypto is open to all, and to a wrong key as to none."""
        tries, user = self._rules.user_of_headers(headers)
        if user is None and not is_open:
            raise of_status(403 if tries else 401)
        return user or ""


def _next_second(now_ns: int) -> str:
    return str(now_ns // NS_PER_S + 1)
