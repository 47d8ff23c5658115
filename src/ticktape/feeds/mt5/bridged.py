"""Books behind a bridge: pushed by it where it can connect to us, asked for where it cannot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ticktape import mt5
from ticktape.feeds.mt5.books import Failing, PolledBooks
from ticktape.feeds.mt5.bridge import BridgeTerminal
from ticktape.feeds.mt5.push import PushedBooks
from ticktape.polls import PollCounts

if TYPE_CHECKING:
    from ticktape.feeds.mt5.terminal import Refusal


class BridgedBooks:
    """A BookSource that tries anew with each session which of the two ways there is."""

    def __init__(self, bridge: BridgeTerminal, marks: int, interval_ns: int) -> None:
        self._pushed = PushedBooks(bridge, marks, interval_ns)
        self._polled = PolledBooks(bridge, marks)
        self._now: PushedBooks | PolledBooks = self._polled
        self.refusal: Refusal | None = None

    @property
    def failing(self) -> dict[str, Failing]:
        """Symbols whose calls fail."""
        return self._now.failing

    @property
    def is_self_paced(self) -> bool:
        """Whether the bridge keeps the pace."""
        return self._now is self._pushed

    @property
    def late(self) -> int:
        """Passes of the bridge that began after their time."""
        return self._pushed.late

    def resume(self, *, after_gap: bool) -> None:
        """A session begins: find out which way there is.

        Raises:
            Disconnected: the bridge is gone.
        """
        self._pushed.resume(after_gap=after_gap)
        self.refusal = self._pushed.start()
        self._now = self._pushed if self.refusal is None else self._polled
        if self._now is self._polled:
            self._polled.resume(after_gap=after_gap)

    def watch(self, symbols: Sequence[str]) -> None:
        """Take images of these symbols from now on."""
        self._now.watch(symbols)

    def set_interval_ns(self, interval_ns: int) -> None:
        """Change the pace of the bridge's own polls."""
        self._pushed.set_interval_ns(interval_ns)

    def take(self, wait_s: float) -> list[mt5.Image]:
        """The next images; a bridge that pushes is waited for."""
        return self._now.take(wait_s)

    def counts(self) -> list[PollCounts]:
        """What was polled since the last time."""
        return self._now.counts()

    def close(self) -> list[mt5.Image]:
        """Stop; images that came and were not taken."""
        self._pushed.close()
        return self._pushed.rest()
