"""What a healer tells of its work, as it happens and in counters."""

from typing import NamedTuple

from ticktape.ledger.healing import HealGap


class HealNews(NamedTuple):
    """Something became of a gap, or of a request.

    Of a gap `healing`, then `healed`, `unhealable` or, of a suspicion, `unsettled`; of a request
    `waiting`. Of a comparison `compared` or `refused`, of the disk `trouble` and `mended`.
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
    unsettled: int
    requests: int
    failed: int
    pages: int
    rows: int
