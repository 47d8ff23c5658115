"""All symbols' ticks of one terminal: their cursors, the broker's clock, and the gaps they fill."""

from collections.abc import Callable, Iterable, Iterator

from ticktape import clock, mt5
from ticktape.feeds.mt5.broker import BrokerClock, BrokerOffset
from ticktape.feeds.mt5.figures import PollConfig
from ticktape.feeds.mt5.healing import TickHealing
from ticktape.feeds.mt5.restore import Cursors, Restored
from ticktape.feeds.mt5.terminal import Terminal
from ticktape.feeds.mt5.ticks import TickCursor


class TickSource:
    """The ticks of a feed; `healing` knows the gaps that wait for them.

    Args:
        config: which symbols, and how their batches are marked.
        terminal: asked for them; opened and closed by the caller.
        restored: cursors, gaps and the broker's offset, as the journal has them.
        wall_at: our wall clock at a monotonic instant.
        on_offset: called when the broker's offset is known, or has changed.
    """

    def __init__(
        self,
        config: PollConfig,
        terminal: Terminal,
        restored: Restored,
        wall_at: Callable[[int], int],
        on_offset: Callable[[BrokerOffset], None],
    ) -> None:
        self._terminal = terminal
        self._broker = BrokerClock(wall_at, on_offset, restored.offset_ms)
        self._cursors = {
            symbol: TickCursor(symbol, restored.cursors.get(symbol), config.marks)
            for symbol in config.ticks
        }
        self.healing = TickHealing(
            list(self._cursors.values()), wall_at, restored.gaps, has_books=bool(config.books)
        )

    def resume(self) -> None:
        """A session begins."""
        for cursor in self._cursors.values():
            cursor.resume()

    def start(self, symbol: str) -> None:
        """A symbol can be asked for now.

        Raises:
            Disconnected: the terminal is gone.
        """
        cursor = self._cursors[symbol]
        is_new = cursor.cursor is None
        cursor.start(self._terminal)
        if is_new and cursor.cursor is not None:
            # The first batch may be a full one, which says nothing of the broker's clock.
            self._broker.see(cursor.cursor[0], clock.monotonic_ns(), is_live=True)

    def take(self, symbols: Iterable[str], down_since_ns: int) -> Iterator[list[mt5.TickBatch]]:
        """What came of each symbol since the last call; `down_since_ns` is of a gap that lasts.

        Raises:
            Disconnected: the terminal is gone.
        """
        for symbol in symbols:
            batches = self._cursors[symbol].take(self._terminal, self._broker)
            if batches:
                self.healing.see(batches, down_since_ns)
                yield batches

    @property
    def failing(self) -> dict[tuple[str, str], str]:
        """(Channel, symbol) -> why its calls fail."""
        return {("ticks", s): each.failing for s, each in self._cursors.items() if each.failing}

    @property
    def delivered(self) -> dict[str, int]:
        """Ticks by symbol since this process began."""
        return {symbol: each.delivered for symbol, each in self._cursors.items()}

    @property
    def cursors(self) -> Cursors:
        """Where each symbol stands that has begun."""
        return {s: each.cursor for s, each in self._cursors.items() if each.cursor is not None}

    @property
    def offset_ms(self) -> int:
        """The broker's clock against UTC, as far as it is known."""
        return self._broker.offset_ms
