"""The newest state of a run, and for each browser what of it that one has not seen; pure.

State, never ticks: a browser that was away for a minute gets the newest value once. What is kept
is bounded by the symbols and by the length of the timeline, whatever the number of browsers.
"""

from collections import deque
from typing import Final

import msgspec

from ticktape.dashboard.sources import Cell, Sample, Watched
from ticktape.dashboard.timeline import LATENCY_S, SECONDS_MAX

_encode: Final = msgspec.json.Encoder().encode


class Seen:
    """What one browser has, and the symbol that it watches."""

    def __init__(self) -> None:
        self.version = -1
        self.symbols = 0
        self.point_s = -1
        self.latency_s = -1
        self.watched: Watched | None = None
        self.book = b""


class Board:
    """The newest state; samples come in, messages go out. For one thread."""

    def __init__(self) -> None:
        self.version = 0
        self._now_ms = 0
        self._parts: dict[str, tuple[int, bytes]] = {}
        self._symbols: list[Watched] = []
        self._rows: dict[int, tuple[int, list[Cell]]] = {}
        self._points: deque[list[object]] = deque(maxlen=SECONDS_MAX)
        self._latency: deque[list[object]] = deque(maxlen=SECONDS_MAX // LATENCY_S)
        self._books: dict[Watched, bytes] = {}

    def take(self, sample: Sample) -> None:
        """The state of a run as it is now."""
        self.version += 1
        self._now_ms = sample.now_ms
        for name, content in sample.parts.items():
            raw = _encode(content)
            if self._parts.get(name, (0, b""))[1] != raw:
                self._parts[name] = (self.version, raw)
        self._symbols = sample.symbols
        for number, row in sample.values.items():
            self._rows[number] = (self.version, row)
        self._points.extend(sample.points)
        self._latency.extend(sample.latency)
        self._books = {key: _encode(book) for key, book in sample.books.items()}

    def message(self, seen: Seen) -> bytes:
        """What the browser has not seen, as one JSON object; `seen` then says that it has."""
        first = seen.version < 0
        message: dict[str, object] = {"now_ms": self._now_ms, "first": first}
        for name, (version, raw) in self._parts.items():
            if version > seen.version:
                message[name] = msgspec.Raw(raw)
        if len(self._symbols) > seen.symbols:
            message["symbols"] = self._symbols[seen.symbols :]
            seen.symbols = len(self._symbols)
        values = [
            [number, *row]
            for number, (version, row) in self._rows.items()
            if version > seen.version
        ]
        if values:
            message["values"] = values
        message |= self._times(seen)
        book = self._books.get(seen.watched, b"") if seen.watched is not None else b""
        if book != seen.book and book:
            message["book"] = msgspec.Raw(book)
        seen.book = book
        seen.version = self.version
        return _encode(message)

    def _times(self, seen: Seen) -> dict[str, object]:
        found: dict[str, object] = {}
        points = [point for point in self._points if _second(point) > seen.point_s]
        if points:
            found["points"], seen.point_s = points, _second(points[-1])
        latency = [point for point in self._latency if _second(point) > seen.latency_s]
        if latency:
            found["latency"], seen.latency_s = latency, _second(latency[-1])
        return found


def _second(point: list[object]) -> int:
    second = point[0]
    assert isinstance(second, int)
    return second
