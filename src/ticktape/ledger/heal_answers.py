"""What an answer of REST means, and how fast to ask: pure, randomness and time are handed in.

Source: reference of Alpaca's historical data (docs.alpaca.markets, seen 2026-08), and the policies
of its own clients.
"""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from ticktape import clock

MINUTE_NS = 60 * clock.NS_PER_S
RECENT_NS = 15 * MINUTE_NS  # how old SIP rows must be on a plan without recent ones
_NOT_RECENT = 42_210_000
_RESET_WAIT_NS_MAX = 2 * MINUTE_NS  # a limit is per minute; a clock may be wrong
_RESET_DIGITS_MAX = 12  # of seconds; Python does not even read a number of some thousand
_BACKOFF_S_MAX = 60.0
_WORDS_MAX = 200
_TRIES = 4  # of one gap, until the others come first


class Good(NamedTuple):
    """A page, as far as its status tells."""


class Again(NamedTuple):
    """In vain for now; ask the same after `wait_ns`."""

    wait_ns: int
    words: str


class TooRecent(NamedTuple):
    """The plan shows no rows that young; older ones it does."""

    words: str


class Never(NamedTuple):
    """Asking the same again would not help."""

    words: str
    hint: str


Meaning = Good | Again | TooRecent | Never


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""


_error = msgspec.json.Decoder(_Error)
_HINTS = {
    401: "Check the keys of the feed (keys = …); then: ticktape heal DIR --again",
    403: "The account may not have this data: check the plan and heal_feed; then: "
    "ticktape heal DIR --again",
    404: "Check heal = … of the feed: the address of the REST interface, without a version.",
}
_HINT = "Check heal and heal_feed of the feed; then: ticktape heal DIR --again"


def meaning_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    failures: int,
    now_ns: int,
    jitter: float,
) -> Meaning:
    """Read an answer.

    Args:
        status: HTTP's.
        headers: names in lower case.
        body: of an error it says which.
        failures: how many requests were in vain before this one, in a row.
        now_ns: our wall clock.
        jitter: 0 to 1, so that not all come back at once.
    """
    if status == 200:
        return Good()
    said = _read_error(body)
    words = f"REST answers HTTP {status}" + (f" ({said.message})" if said.message else "")
    if status in (403, 422) and said.code == _NOT_RECENT:
        return TooRecent(words)
    if status == 429:
        return Again(_until_reset_ns(headers, failures, now_ns, jitter), words)
    if status in (408, 425) or status >= 500:
        return Again(backoff_ns(failures, jitter), words)
    if 300 <= status < 400:
        return Never(f"{words}: it is not followed, for the keys would go along", _HINTS[404])
    return Never(words, _HINTS.get(status, _HINT))


def backoff_ns(failures: int, jitter: float) -> int:
    """How long to wait after so many failures in a row: it doubles, up to a minute."""
    whole_s = min(_BACKOFF_S_MAX, 2.0 ** min(failures, 16))
    return int(whole_s * (0.5 + 0.5 * jitter) * clock.NS_PER_S)


def _read_error(body: bytes) -> _Error:
    try:
        said = _error.decode(body)
    except (ValueError, RecursionError):
        return _Error()
    return _Error(said.code, said.message[:_WORDS_MAX])


def _until_reset_ns(headers: Mapping[str, str], failures: int, now_ns: int, jitter: float) -> int:
    reset_ns = read_reset_ns(headers)
    if reset_ns is None:
        return backoff_ns(failures, jitter)
    wait_ns = min(max(reset_ns - now_ns, 0), _RESET_WAIT_NS_MAX)
    return wait_ns + int(jitter * clock.NS_PER_S)


def read_reset_ns(headers: Mapping[str, str]) -> int | None:
    """When the venue's limit is lifted, as it says itself."""
    text = headers.get("x-ratelimit-reset", "")
    is_number = text.isascii() and text.isdigit() and len(text) <= _RESET_DIGITS_MAX
    return int(text) * clock.NS_PER_S if is_number else None


class Pace:
    """When the next request may be sent: so many in any minute, and no more than the venue says.

    One for all that ask with one key, for the venue counts by account. Its times are of the
    monotonic clock.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._sent_ns: deque[int] = deque()
        self._closed_until_ns = 0

    def wait_ns(self, now_ns: int) -> int:
        """How long to wait before the next request; 0 when it may go."""
        while self._sent_ns and not 0 <= now_ns - self._sent_ns[0] < MINUTE_NS:
            self._sent_ns.popleft()
        wait_ns = self._closed_until_ns - now_ns
        if len(self._sent_ns) >= self._per_minute:
            wait_ns = max(wait_ns, self._sent_ns[0] + MINUTE_NS - now_ns)
        return max(wait_ns, 0)

    def sent(self, now_ns: int) -> None:
        """Count a request."""
        self._sent_ns.append(now_ns)

    def answered(self, headers: Mapping[str, str], wall_ns: int, now_ns: int) -> None:
        """Take the venue's own count; names in lower case, `wall_ns` is our wall clock."""
        reset_ns = read_reset_ns(headers)
        if headers.get("x-ratelimit-remaining") == "0" and reset_ns is not None:
            self._closed_until_ns = now_ns + min(reset_ns - wall_ns, _RESET_WAIT_NS_MAX)


class Aside:
    """Gaps whose requests fail again and again: put aside for a while, so that others are healed.

    A gap is named by its key. The times are of the monotonic clock.
    """

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._until_ns: dict[str, int] = {}

    def failed(self, key: str, now_ns: int, longest_ns: int) -> bool:
        """Count a request in vain; whether the gap is put aside now, longer each time."""
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        if failures < _TRIES:
            return False
        self.put(key, now_ns + min(MINUTE_NS << min(failures - _TRIES, 16), longest_ns))
        return True

    def put(self, key: str, until_ns: int) -> None:
        """Leave the gap alone until then."""
        self._until_ns[key] = until_ns

    def forget(self, key: str) -> None:
        """A request for it was answered, or it is done with."""
        self._failures.pop(key, None)
        self._until_ns.pop(key, None)

    def until_ns(self, key: str) -> int:
        """Until when it is left alone; 0 when it is not."""
        return self._until_ns.get(key, 0)

    def keys(self, now_ns: int) -> set[str]:
        """Those that are left alone now."""
        return {key for key, until_ns in self._until_ns.items() if until_ns > now_ns}
