"""A crypto order book put together from its changes; pure, and the same live and in replay.

The venue gives no sequence numbers and no checksums: after a gap the book is not valid until the
venue sends a whole one (`reset`).
"""

from ticktape.records import CryptoBook

Levels = tuple[tuple[float, float], ...]
"""(price, size) of each level, best first."""


class OrderBook:
    """One symbol's book; `is_valid` is false until the first whole one, and after a gap.

    A book that is not valid takes no changes: nobody knows what they would change.
    """

    __slots__ = ("_asks", "_bids", "event_ns", "is_valid")

    def __init__(self) -> None:
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self.is_valid = False
        self.event_ns = 0

    def apply(self, change: CryptoBook) -> None:
        """Take a change, or a whole book."""
        if change.reset:
            self._bids.clear()
            self._asks.clear()
            self.is_valid = True
        elif not self.is_valid:
            return
        _put(self._bids, change.bid_prices, change.bid_sizes)
        _put(self._asks, change.ask_prices, change.ask_sizes)
        self.event_ns = change.event_ns

    def invalidate(self) -> None:
        """Forget everything: a gap."""
        self._bids.clear()
        self._asks.clear()
        self.is_valid = False

    def bids(self, levels: int | None = None) -> Levels:
        """Bids, the highest price first."""
        return tuple(sorted(self._bids.items(), reverse=True)[:levels])

    def asks(self, levels: int | None = None) -> Levels:
        """Asks, the lowest price first."""
        return tuple(sorted(self._asks.items())[:levels])


def _put(side: dict[float, float], prices: tuple[float, ...], sizes: tuple[float, ...]) -> None:
    for price, size in zip(prices, sizes, strict=True):
        if size:
            side[price] = size
        else:
            side.pop(price, None)
