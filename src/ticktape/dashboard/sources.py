"""What the page needs of a run; the wiring hands it over, for no room knows another."""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

Watched = tuple[str, str]
"""Feed and symbol."""

Cell = float | int | str | None


class Sample(NamedTuple):
    """The run at one moment.

    `parts` are replaced as a whole when they change. `symbols` are all that were ever seen, in
    order of appearance: their place is their number, which never changes. `values` are the rows
    that changed since the sample before, by number. `points` and `latency` are points in time that
    have become final since then.
    """

    now_ms: int
    parts: Mapping[str, object]
    symbols: list[Watched]
    values: Mapping[int, list[Cell]]
    points: list[list[object]]
    latency: list[list[object]]
    books: Mapping[Watched, object]


class Source(Protocol):
    """Reads a run; called by one thread, never by two at once."""

    def sample(self, watched: Collection[Watched]) -> Sample:
        """The run now; `watched` are the symbols whose books are wanted."""
        ...

    def close(self) -> None:
        """Let go of all files; may be called twice."""
        ...
