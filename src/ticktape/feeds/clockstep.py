"""A step of the system's wall clock, as an entry of its own instead of a lie in the data."""

from typing import Any

from ticktape import clock
from ticktape.feeds.gapkeeper import Content, GapKeeper

_STEP_NS = 500_000  # the wall is anchored again when it has moved by more than this


def take_step(wall: clock.WallClock, gaps: GapKeeper) -> dict[str, Any] | None:
    """Anchor the wall clock again if it has moved; what to write down of it, None for nothing."""
    # A pause between the two looks of one measure would pass for a step: the least counts.
    drift_ns = min((wall.drift_ns() for _ in range(3)), key=abs)
    if abs(drift_ns) <= _STEP_NS:
        return None
    before_ns = wall.wall_ns()
    wall.reanchor()
    down = gaps.stamped(Content("clock"))
    return {
        "event": "clock",
        "step_ns": drift_ns,
        "before_ns": before_ns,
        "after_ns": wall.wall_ns(),
        "down_since_ns": down.down_since_ns,
        "cause": down.cause,
        "planned": down.planned,
    }
