"""What a venue may answer to the request for a WebSocket instead of opening one. Pure.

Trying again helps against a crowd or a server in trouble, not against a wrong key or path.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ticktape.errors import Disconnected, FeedError, Refused

_KEYS = "Check APCA_API_KEY_ID and APCA_API_SECRET_KEY (or the keys = … of this feed)."
_URL = "Check the url"
# Answers to the upgrade that stay the same, and what to do about each.
_FATAL_STATUS = {
    400: f"{_URL}, and encoding and auth of this feed: the venue does not take the request.",
    401: _KEYS,
    403: f"{_KEYS} If they are right, this account may not have the stream.",
    404: f"{_URL}; 404 means that this path does not exist at the venue.",
    405: f"{_URL}: what is there is no stream.",
    410: f"{_URL}: the venue has given this stream up.",
}
_TOO_MANY = 429
_TOO_MANY_WAIT_S = 1.0  # when the venue does not say how long
_SERVER_ERROR = range(500, 600)
_RETRY_AFTER_MAX_S = 60.0  # a venue that wants us away for longer is asked again all the same


class Throttled(Disconnected):
    """The venue wants us to come back later, not before `wait_s`."""

    def __init__(self, message: str, *, wait_s: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.wait_s = wait_s


def answered(place: str, status: int, headers: Mapping[str, str]) -> FeedError:
    """What an answer that is not 101 means; `place` says whose it is."""
    said = f"{place} answers HTTP {status}"
    if status in _FATAL_STATUS:
        return Refused(said, hint=_FATAL_STATUS[status])
    asked_s = _retry_after_s({name.lower(): value for name, value in headers.items()})
    if status == _TOO_MANY:
        words = f"{said} (too many connections in a short time); trying again later"
        hint = "If other programs of this account connect, too, raise stagger_s or stop them."
        return Throttled(words, wait_s=_TOO_MANY_WAIT_S if asked_s is None else asked_s, hint=hint)
    if status in _SERVER_ERROR:
        words = f"{said}: the venue, or what stands before it, is in trouble; trying again"
        return Throttled(words, wait_s=asked_s or 0.0)
    if 300 <= status < 400:
        return Disconnected(
            f"{said}; a redirect is not followed",
            hint="The keys go only where the config says; if the venue moved, change the url.",
        )
    return Disconnected(f"{said}; trying again")


def _retry_after_s(headers: dict[str, str]) -> float | None:
    """How long the venue wants us away, within our bound; None when it does not say.

    It may say seconds, or a date, which is compared with the date of its answer.
    """
    asked = headers.get("retry-after", "").strip()
    wait_s: float | None = None
    if asked.isascii() and asked.isdecimal():
        wait_s = float(asked[:9])
    elif asked and (until := _date(asked)) and (now := _date(headers.get("date", ""))):
        wait_s = (until - now).total_seconds()
    return None if wait_s is None else min(max(wait_s, 0.0), _RETRY_AFTER_MAX_S)


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
