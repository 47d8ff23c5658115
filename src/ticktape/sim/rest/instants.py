"""Times in a query: RFC 3339 with up to nine digits of the second, or a date."""

import re
from datetime import UTC, datetime, timedelta

from ticktape.clock import NS_PER_S
from ticktape.sim.rest.answers import RequestRefused

DAY_NS = 86_400 * NS_PER_S

_FORM = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r"(?P<zone>[Zz]|[+-]\d\d:\d\d))?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_instant(text: str, name: str = "time") -> int:
    """Return UTC nanoseconds; a date is its first one in UTC (the venue documents no zone).

    Raises:
        RequestRefused: the text is neither, or a time that int64 nanoseconds cannot hold.
    """
    found = _FORM.fullmatch(text)
    zone = (found["zone"] or "Z").upper().replace("Z", "+00:00") if found else ""
    try:
        if found is None:
            raise ValueError(text)
        moment = datetime.fromisoformat(f"{found['date']}T{found['time'] or '00:00:00'}{zone}")
    except ValueError as error:
        raise RequestRefused(400, f"invalid {name}: {text!r}") from error
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    event_ns = seconds * NS_PER_S + int((found["fraction"] or "0").ljust(9, "0"))
    if abs(event_ns) >= 1 << 63:
        raise RequestRefused(400, f"invalid {name}: {text!r} is out of range")
    return event_ns
