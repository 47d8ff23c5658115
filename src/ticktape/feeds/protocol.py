"""What a venue's protocol says to the session that runs it: bytes in, actions out, no socket."""

import math
from typing import Final, NamedTuple, Protocol

Channels = dict[str, list[str]]
"""Channel -> symbols, in the venue's own words."""

WORDS_MAX: Final = 1000  # characters of a refusal that an entry repeats


class Send(NamedTuple):
    """Send these bytes; they may hold a secret and are never logged or journaled."""

    payload: bytes
    is_binary: bool = False

    def __repr__(self) -> str:
        return f"Send({len(self.payload)} bytes, hidden)"


class Authenticated(NamedTuple):
    """The venue knows us."""


class Ready(NamedTuple):
    """The subscription stands as the venue acknowledged it; data is coming.

    `missing` is what was asked for and not acknowledged, with the venue's reason in `words`.
    """

    acknowledged: Channels
    missing: Channels
    words: str


class Notice(NamedTuple):
    """The venue said something worth an entry; the session goes on."""

    code: int
    words: str
    hint: str = ""


class Fail(NamedTuple):
    """This session is over.

    `fatal`: trying again would not help. `wait_s`: wait at least so long, as the venue wants it,
    and `wait_max_s` at most, however often it failed before. `is_of_plan`: what the venue does not
    serve is our subscription; once a session of this process stood that is not fatal, for the
    venue has served it.
    """

    code: int
    words: str
    hint: str
    fatal: bool
    wait_s: float = 0.0
    wait_max_s: float = math.inf
    is_of_plan: bool = False


def shortened(words: str, most: int = WORDS_MAX) -> str:
    """The words, or their beginning if they are more than `most` characters."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


Action = Send | Authenticated | Ready | Notice | Fail


class VenueProtocol(Protocol):
    """One connection's side of a venue's protocol."""

    def open(self) -> list[Action]:
        """What to do when the socket is open."""
        ...

    def is_control(self, payload: bytes) -> bool:
        """Whether a message may be about the session; cheap, and wrong only towards yes."""
        ...

    def receive(self, payload: bytes) -> list[Action]:
        """What to do about a message of the session; it is in the journal already."""
        ...

    def change(self, wanted: Channels) -> list[Action]:
        """What to do so that these symbols are subscribed, and no others; ends in a `Ready`.

        Until the session is ready it may only be remembered, for the login to ask for. A session
        of which no `Ready` comes in time is given up, and the next one asks for what is wanted.
        """
        ...
