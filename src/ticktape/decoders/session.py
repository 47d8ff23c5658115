"""Gaps out of the entries of our own that stand beside the venue's messages.

A session entry is JSON: {"event": ..., "gap": {...}} or {"event": ..., "gaps": [...]}, each gap
with `from_ns`, and `to_ns`, `cause`, `planned`, `symbol`, `channels`, `state` as known. An entry
that tells what was dropped is {"frames": ..., "from_ns": ..., "to_ns": ...}. A malformed one must
never raise here: it is counted.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec

from ticktape.records import EntryKind, Gap

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


class _DroppedWire(msgspec.Struct, frozen=True):
    frames: int = 0
    from_ns: Int64 | None = None
    to_ns: Int64 | None = None


_SESSION = msgspec.json.Decoder(_SessionWire)
_DROPPED = msgspec.json.Decoder(_DroppedWire)


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


def dropped_gaps(payload: bytes, feed: str, recv_ns: int, epoch: int, seq: int) -> list[Gap] | None:
    """The gap that frames left which were dropped before this entry; None when it is malformed.

    An entry that does not say when they came was written after the last of them.
    """
    try:
        dropped = _DROPPED.decode(payload)
    except (ValueError, RecursionError):
        return None
    from_ns = recv_ns if dropped.from_ns is None else dropped.from_ns
    return [
        Gap(
            feed=feed,
            symbol="",
            event_ns=from_ns,
            recv_ns=recv_ns,
            epoch=epoch,
            seq=seq,
            index=0,
            from_ns=from_ns,
            to_ns=recv_ns if dropped.to_ns is None else dropped.to_ns,
            cause=f"{dropped.frames} frames were dropped: the disk refused",
        )
    ]


GAPS: Mapping[int, Callable[[bytes, str, int, int, int], list[Gap] | None]] = {
    EntryKind.SESSION: session_gaps,
    EntryKind.DROPPED: dropped_gaps,
}
"""Kind of entry -> the gaps that it tells of, for the kinds that tell of any."""
