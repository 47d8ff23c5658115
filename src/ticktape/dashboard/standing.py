"""How a run stands, in one word and one sentence; pure.

The sentence never says more than is known: a run that nobody ended is not called ended.
"""

from typing import Final, NamedTuple

STALE_S: Final = 15.0  # half of what a venue's heartbeat may take
BEHIND_S: Final = 10.0  # twice the table's pace of commits

_NS_PER_S: Final = 1_000_000_000


class Standing(NamedTuple):
    """`state` is starting, recording, behind, stale, complete, incomplete or ended."""

    state: str
    words: str


class Facts(NamedTuple):
    """What a run's standing is made of.

    `heard_ns` is when the newest block of any feed was received (None: none was). `stopped` says
    that every feed ended as planned. `behind` are stages that lag for longer than BEHIND_S, each
    with its seconds. `trouble` are journals that do not write as they should, in words. `complete`
    is what the certificate says, None where there is none.
    """

    now_ns: int
    is_live: bool
    heard_ns: int | None
    stopped: bool
    behind: tuple[tuple[str, float], ...] = ()
    trouble: tuple[str, ...] = ()
    complete: bool | None = None
    why: str = ""


def standing(facts: Facts) -> Standing:
    """The word and the sentence."""
    quiet_s = None if facts.heard_ns is None else (facts.now_ns - facts.heard_ns) / _NS_PER_S
    if not facts.is_live:
        return _over(facts, quiet_s)
    if quiet_s is None:
        return Standing("starting", "The recorder runs; nothing has come yet.")
    if quiet_s > STALE_S:
        return Standing(
            "stale", f"Recording, but nothing heard for {span(quiet_s)}: these values are old."
        )
    if facts.trouble:
        return Standing("behind", f"Recording, with trouble: {'; '.join(facts.trouble)}.")
    if facts.behind:
        late = ", ".join(f"{stage} by {span(seconds)}" for stage, seconds in facts.behind)
        return Standing("behind", f"Recording; behind: {late}. Nothing is lost by that.")
    return Standing("recording", "Recording; every stage keeps up.")


def _over(facts: Facts, quiet_s: float | None) -> Standing:
    if quiet_s is None:
        return Standing("ended", "No recorder runs here, and nothing was recorded yet.")
    if not facts.stopped:
        words = f"The recorder is gone and did not say goodbye; last heard {span(quiet_s)} ago."
        return Standing("stale", words + " What was written is kept: start it again.")
    ago = f"Ended {span(quiet_s)} ago"
    if facts.complete is None:
        return Standing("ended", f"{ago}; not proved yet.")
    if facts.complete:
        return Standing("complete", f"{ago}: COMPLETE. Nothing was lost.")
    return Standing("incomplete", f"{ago}: INCOMPLETE. {facts.why}".rstrip())


def span(seconds: float) -> str:
    """A length of time for people: 12 s, 3 min, 5 h, 2 d."""
    seconds = max(0.0, seconds)
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7_200), ("h", 3_600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
