"""Gaps out of the session entries that a feed writes beside the venue's messages.

A session entry is JSON: {"event": ..., "gap": {...}} or {"event": ..., "gaps": [...]}, each gap
with `from_ns`, and `to_ns`, `cause`, `planned`, `symbol`, `channels`, `state` as known. A malformed
one must never raise here: it is counted.
"""

from typing import Annotated

import msgspec

from ticktape.records import Gap

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _GapWire(msgspec.Struct, frozen=True):
    from_ns: Int64
    to_ns: Int64 | None = None
    cause: str = ""
    planned: bool = False
    symbol: str = ""
    state: str = "open"
    channels: str = ""


class _SessionWire(msgspec.Struct, frozen=True):
    event: str = ""
    gap: _GapWire | None = None
    gaps: list[_GapWire] | None = None


_SESSION = msgspec.json.Decoder(_SessionWire)


def session_gaps(payload: bytes, feed: str, recv_ns: int, epoch: int, seq: int) -> list[Gap] | None:
    """Read the gaps of one session entry, in its order; None when it is malformed."""
    try:
        session = _SESSION.decode(payload)
    except (ValueError, RecursionError):
        return None
    found = [] if session.gap is None else [session.gap]
    found += session.gaps or []
    return [
        Gap(
            feed=feed,
            symbol=gap.symbol,
            event_ns=gap.from_ns,
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            from_ns=gap.from_ns,
            to_ns=gap.to_ns,
            cause=gap.cause,
            planned=gap.planned,
            state=gap.state,
            channels=gap.channels,
        )
        for index, gap in enumerate(found)
    ]
