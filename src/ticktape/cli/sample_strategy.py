"""The demo's strategy, and a pattern for your own: copy this file and name it under [[decide]].

It answers a burst of trading: when a symbol trades ten times its usual size within a second of
venue time, it says so, with the direction of the last price.
"""

from typing import Any

SECOND_NS = 1_000_000_000


class Bursts:
    """Notices bursts; every state that it keeps comes from the records alone."""

    timer_s = 1.0  # on_timer is called once a second

    def __init__(self) -> None:
        self.windows: dict[str, list[float]] = {}
        self.trades = 0

    def on_trade(self, trade: Any, last: Any) -> dict[str, Any] | None:  # noqa: ANN401
        """Called for every trade; what it returns, if not None, is recorded as a decision."""
        self.trades += 1
        window = self.windows.setdefault(trade.symbol, [0.0, 0.0, 0.0, trade.price])
        began_ns, size, usual, first_price = window
        if trade.event_ns - began_ns >= SECOND_NS:
            usual = 0.9 * usual + 0.1 * size if usual else size
            window[:] = [trade.event_ns, trade.size, usual, trade.price]
            return None
        before, window[1] = size, size + trade.size
        if usual and before < 10 * usual <= window[1]:
            side = "buy" if trade.price >= first_price else "sell"
            return {"burst": trade.symbol, "size": window[1], "side": side, "price": trade.price}
        return None

    def on_timer(self, now_ns: int, last: Any) -> dict[str, Any] | None:  # noqa: ANN401
        """Called every `timer_s` seconds with the wall clock; the call is logged for replay."""
        return {"trades_so_far": self.trades} if self.trades else None
