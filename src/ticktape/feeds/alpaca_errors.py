"""Every error of Alpaca's protocol v2: what it means for a recorder, and what a user can do.

Codes and texts: Alpaca's documentation (seen 2026-01 and 2026-08) and its clients; policies: what
can be done about each.

A fatal code is so in answer to the login or to the first subscription. While data flows it ends the
session alone, for it answers nothing: what the venue says to the next login decides.
"""

import math
from typing import NamedTuple


class Policy(NamedTuple):
    """What an error code means for the session that hears it."""

    fatal: bool
    words: str
    hint: str
    wait_s: float = 0.0
    wait_max_s: float = math.inf


POLICIES: dict[int, Policy] = {
    400: Policy(
        False,
        "invalid syntax: the venue does not understand our login",
        "Check that the url is one of Alpaca's streams; if it is, this is our bug. Trying again.",
    ),
    401: Policy(False, "not authenticated", "A new session authenticates again."),
    402: Policy(
        True,
        "authentication failed",
        "Check APCA_API_KEY_ID and APCA_API_SECRET_KEY (or the keys = … of this feed).",
    ),
    404: Policy(False, "authentication came too late", "A new session authenticates at once."),
    406: Policy(
        False,
        "connection limit exceeded: another session holds this account's slot",
        "Stop the other recorder; after a crash the venue frees the slot within 90 s. Waiting.",
        0.5,
        5.0,  # so that a slot that is free again is soon taken
    ),
    407: Policy(
        False,
        "slow client: we read too slowly, and the venue dropped us",
        "Reconnecting; the gap is recorded. If it comes again: fewer symbols, msgpack, or pin_cpu.",
    ),
    408: Policy(True, "this account has no data API v2", "Ask Alpaca to enable it."),
    409: Policy(
        True,
        "insufficient subscription: this feed is not in your plan",
        "Use the iex feed (…/v2/iex), or subscribe to the plan that has this one.",
    ),
    411: Policy(True, "insufficient scope of the token", "Make a token with market-data scope."),
    412: Policy(
        True, "option messages need MessagePack", 'Set encoding = "msgpack" for this feed.'
    ),
    500: Policy(False, "internal error at the venue", "Reconnecting; the gap is recorded."),
}
"""Codes that end a session."""

REFUSED_SUBSCRIPTION: dict[int, str] = {
    400: "A channel or symbol is malformed; the rest is recorded.",
    405: "The plan allows fewer symbols (30 on the free one); shorten the lists.",
    410: "This stream does not have that channel; leave it out, or make a [[feed]] that has it.",
    413: "Quotes of options cannot be subscribed with a star; name the options.",
}
"""Codes that refuse a request and leave all that stood before: what to do."""

_CODE_END = 1_000_000  # so that any code fits wherever it is written
ALREADY = 403  # authenticated already: that is what we want

# Old servers leave the code out (alpaca-trade-api-python, commit a9f254b).
_CODES = {
    "invalid syntax": 400,
    "not authenticated": 401,
    "auth failed": 402,
    "already authenticated": ALREADY,
    "auth timeout": 404,
    "symbol limit exceeded": 405,
    "connection limit exceeded": 406,
    "slow client": 407,
    "v2 not enabled": 408,
    "insufficient subscription": 409,
    "invalid subscribe action for this feed": 410,
    "insufficient scope": 411,
    "option messages are only available in msgpack format": 412,
    "star subscription is not allowed for option quotes": 413,
    "internal error": 500,
}


def code_of(code: int, words: str) -> int:
    """The error's code, by its words where it has none; 0 when these are not known either."""
    return code if 0 < code < _CODE_END else _CODES.get(words.strip().lower(), 0)


def hint_of(code: int) -> str:
    """What a user can do about an error that ends nothing."""
    if code in REFUSED_SUBSCRIPTION:
        return REFUSED_SUBSCRIPTION[code]
    policy = POLICIES.get(code)
    return policy.hint if policy else "This error is not in Alpaca's list; recording goes on."
