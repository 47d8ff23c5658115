"""Bars and timelines of a certificate as inline SVG, without text in them; pure.

A stretch too short to see is drawn as wide as can be seen, what is worst on top.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

SHARES = ("unverifiable", "verified", "healed", "suspect", "missing")
"""In the order in which they are drawn: what is worst lies on top."""

WIDTH = 1000
_SEEN = 3.0  # of WIDTH: a stretch of a moment must not vanish


def share_bar(shares: Mapping[str, float]) -> str:
    """All shares side by side as one bar."""
    at, parts = 0.0, []
    for name in SHARES:
        width = shares[name] * WIDTH
        if width:
            parts.append(_rect(at, max(width, _SEEN), name))
        at += width
    words = ", ".join(f"{name} {percent(shares[name])}" for name in SHARES if shares[name])
    return _svg(parts, words or "nothing was asked for", "bar")


def timeline(spans: Mapping[str, Sequence[Sequence[int]]], from_ns: int, to_ns: int) -> str:
    """One line from `from_ns` to `to_ns`; what is not drawn was not asked for."""
    scale = WIDTH / max(to_ns - from_ns, 1)
    parts = []
    for name in SHARES:
        for begin_ns, end_ns in spans.get(name, ()):
            width = max((end_ns - begin_ns) * scale, _SEEN)
            at = min((begin_ns - from_ns) * scale, WIDTH - width)
            parts.append(_rect(max(at, 0.0), width, name))
    stretches = ", ".join(f"{len(spans[name])} {name}" for name in SHARES if spans.get(name))
    return _svg(parts, f"stretches of time: {stretches or 'none'}", "line")


def percent(share: float) -> str:
    """A share so that nothing is rounded to all or to nothing: <0.01 %, 99.99 %."""
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    if share < 0.0001:
        return "<0.01 %"
    return f"{min(share, 0.9999) * 100:.2f} %"


def _rect(at: float, width: float, name: str) -> str:
    return f'<rect class="{name}" x="{at:.2f}" y="0" width="{width:.2f}" height="10"/>'


def _svg(parts: Sequence[str], words: str, kind: str) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {WIDTH} 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(words)}">{"".join(parts)}</svg>'
    )


def range_of(streams: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """From the first to the last asked instant of these streams."""
    ends = [span for each in streams for spans in each["spans"].values() for span in spans]
    if not ends:
        return 0, 0
    return min(begin for begin, _ in ends), max(end for _, end in ends)
