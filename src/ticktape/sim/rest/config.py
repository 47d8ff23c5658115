"""What the REST twin shall be: one frozen object, checked before anything opens."""

import re
from collections.abc import Mapping

import msgspec

from ticktape.errors import ConfigError

PAID_REQUESTS = (
    10_000  # a minute, of the paid plan; the free one has 200 (reference/alpaca.md §1.1)
)

_FAULT = re.compile(r"(?P<code>[45]\d\d)(?:x(?P<times>[1-9]\d*)|/(?P<every>[1-9]\d*))")


class RestFault(msgspec.Struct, frozen=True, kw_only=True):
    """Requests answered with HTTP `code`: the next `times`, or each one that `every` divides."""

    code: int
    times: int = 0
    every: int = 0


def parse_rest_faults(texts: tuple[str, ...]) -> tuple[RestFault, ...]:
    """Return the faults of `429x3` (the next three requests) and `500/10` (every tenth).

    Raises:
        ConfigError: lists each text that is neither.
    """
    found = [_FAULT.fullmatch(text) for text in texts]
    wrong = [text for text, match in zip(texts, found, strict=True) if match is None]
    if wrong:
        raise ConfigError(
            [f"--rest-fault {text!r} is no fault" for text in wrong],
            hint="Say 429x3 for the next three requests, 500/10 for every tenth.",
        )
    return tuple(
        RestFault(
            code=int(match["code"]),
            times=int(match["times"] or 0),
            every=int(match["every"] or 0),
        )
        for match in found
        if match is not None
    )


class RestConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of the venue's REST interface.

    `shows_all` shows whole tapes at once, not only what was played. `rate_limit` is requests per
    key and minute. With `short_pages` a page holds half of the rows asked for. On the `free_plan`
    SIP rows of the last 15 minutes are refused; minutes of the tape, whose clock the twin goes by.
    """

    host: str = "127.0.0.1"
    port: int = 0
    keys: Mapping[str, str] = msgspec.field(default_factory=lambda: {"demo-key": "demo-secret"})
    tokens: frozenset[str] = frozenset()

    shows_all: bool = False
    rate_limit: int = PAID_REQUESTS
    short_pages: bool = False
    free_plan: bool = False
    faults: tuple[RestFault, ...] = ()

    def check(self) -> None:
        """Look for every mistake.

        Raises:
            ConfigError: lists them all.
        """
        if self.rate_limit < 1:
            raise ConfigError(
                [f"rate_limit {self.rate_limit} is below 1"],
                hint="See `ticktape sim alpaca --help`.",
            )
