"""Which symbols of a feed stand subscribed, which do not, and when to ask for those again; pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ticktape.clock import NS_PER_S
from ticktape.feeds.mt5.terminal import Refusal, Terminal
from ticktape.feeds.protocol import Channels

Failing = Mapping[tuple[str, str], str]
"""(Channel, symbol) -> why its calls fail."""

_RETRY_NS = (2 * NS_PER_S, 5 * NS_PER_S, 15 * NS_PER_S, 60 * NS_PER_S)


class _Want(NamedTuple):
    channel: str
    symbol: str


class Subscriptions:
    """The books and ticks that a config asks for, and how each stands in this session."""

    def __init__(self, books: Iterable[str], ticks: Iterable[str]) -> None:
        self._wanted = [_Want("books", each) for each in books]
        self._wanted += [_Want("ticks", each) for each in ticks]
        self._told: dict[_Want, str] = {}
        self.forget()

    def forget(self) -> None:
        """A session begins: nothing is subscribed."""
        self._refused: dict[_Want, Refusal] = {}
        self._there: set[_Want] = set()
        self._tries = 0
        self._due_ns = 0

    @property
    def booked(self) -> list[str]:
        """Symbols whose book is subscribed, in the config's order."""
        return self._symbols("books")

    @property
    def ticking(self) -> list[str]:
        """Symbols whose ticks can be asked for."""
        return self._symbols("ticks")

    def _symbols(self, channel: str) -> list[str]:
        there = self._there
        return [want.symbol for want in self._wanted if want in there and want.channel == channel]

    def ask(self, terminal: Terminal, now_ns: int) -> list[str]:
        """Subscribe what is not; the symbols that are new.

        Raises:
            Disconnected: the terminal is gone.
        """
        new: dict[str, None] = {}
        for want in self._wanted:
            if want in self._there:
                continue
            refusal = terminal.subscribe(want.symbol, book=want.channel == "books")
            if refusal is None:
                self._refused.pop(want, None)
                self._there.add(want)
                new[want.symbol] = None
            else:
                self._refused[want] = refusal
        self._due_ns = now_ns + _RETRY_NS[min(self._tries, len(_RETRY_NS) - 1)]
        self._tries += 1
        return list(new)

    def is_due(self, now_ns: int) -> bool:
        """Whether it is time to ask again for what was refused."""
        return bool(self._refused) and now_ns >= self._due_ns

    def _missing(self, failing: Failing) -> dict[_Want, str]:
        found = {want: refusal.words for want, refusal in self._refused.items()}
        found |= {
            want: f"{want.symbol}: {failing[want]}"
            for want in self._wanted
            if want in self._there and want in failing
        }
        return found

    def has_changed(self, failing: Failing) -> bool:
        """Whether `standing` would say something else now than it last did."""
        return self._missing(failing).keys() != self._told.keys()

    def standing(self, failing: Failing) -> tuple[Channels, Channels, str, str]:
        """Channels that stand, those that do not, why, and what to do; what fails does not."""
        missing = self._told = self._missing(failing)
        hint = next((self._refused[want].hint for want in missing if want in self._refused), "")
        return (
            _channels(want for want in self._wanted if want not in missing),
            _channels(want for want in self._wanted if want in missing),
            "; ".join(dict.fromkeys(missing.values())),
            hint,
        )


def _channels(wants: Iterable[_Want]) -> Channels:
    found: Channels = {}
    for want in wants:
        found.setdefault(want.channel, []).append(want.symbol)
    return found
