"""Books of a bridge: pushed where it can reach us, and asked for where it cannot."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ticktape import clock, mt5
from ticktape.feeds.mt5.books import Failing, PolledBooks
from ticktape.feeds.mt5.bridge import BridgeTerminal
from ticktape.feeds.mt5.pace import Pace
from ticktape.feeds.mt5.push import PushedBooks
from ticktape.polls import PollCounts

if TYPE_CHECKING:
    from ticktape.feeds.mt5.terminal import Refusal


class BridgeBooks:
    """A `BookSource` that keeps its own pace: `take` waits for the next pass, up to `wait_s`.

    `refusal` says why the bridge cannot push in this session; it is asked for each pass then.
    `late` counts passes that began after their time, and only grows.

    Args:
        bridge: opened and closed by the caller.
        marks: set on every image: which leg this is.
        interval_ns: from pass to pass; 0 is as fast as possible.
        monotonic_ns: the clock of the pace.
        sleep_s: how a pass is waited for.
    """

    def __init__(
        self,
        bridge: BridgeTerminal,
        marks: int = 0,
        interval_ns: int = 0,
        monotonic_ns: Callable[[], int] = clock.monotonic_ns,
        sleep_s: Callable[[float], None] = clock.sleep_s,
    ) -> None:
        self.failing: dict[str, Failing] = {}
        self.refusal: Refusal | None = None
        self._pushed = PushedBooks(bridge, marks, interval_ns, monotonic_ns)
        self._polled = PolledBooks(bridge, marks, monotonic_ns)
        self._pace = Pace(interval_ns)
        self._next_ns = 0
        self._monotonic_ns = monotonic_ns
        self._sleep_s = sleep_s

    @property
    def _source(self) -> PushedBooks | PolledBooks:
        return self._pushed if self.refusal is None else self._polled

    @property
    def late(self) -> int:
        """Passes that began after their time, whoever made them."""
        return self._pushed.late + self._pace.late

    def resume(self, *, after_gap: bool) -> None:
        """A session begins; whether the bridge can push is tried anew.

        Raises:
            Disconnected: the bridge is gone.
        """
        self._pushed.resume(after_gap=after_gap)
        self._polled.resume(after_gap=after_gap)
        self.refusal = self._pushed.start()
        self.failing = self._source.failing
        self._next_ns = self._monotonic_ns()
        self._pace.restart(self._next_ns)

    def watch(self, symbols: Sequence[str]) -> None:
        """Take images of these symbols from now on; what is new begins with a keyframe."""
        self._source.watch(symbols)
        self.failing = self._source.failing

    def set_interval_ns(self, interval_ns: int) -> None:
        """Change the pace.

        Raises:
            Disconnected: the bridge is gone.
        """
        self._pace.interval_ns = interval_ns
        self._pushed.set_interval_ns(interval_ns)

    def take(self, wait_s: float) -> list[mt5.Image]:
        """The next images: what was pushed, or after one pass.

        Raises:
            Disconnected: the terminal or the bridge is gone; images before that were given.
        """
        if self.refusal is None:
            return self._pushed.take(wait_s)
        left_s = (self._next_ns - self._monotonic_ns()) / clock.NS_PER_S
        if left_s > 0:
            self._sleep_s(min(left_s, wait_s))
            if left_s > wait_s:
                return []
        images = self._polled.take()
        now_ns = self._monotonic_ns()
        self._next_ns = now_ns + self._pace.wait_ns(now_ns)
        return images

    def counts(self) -> list[PollCounts]:
        """What was polled since the last time."""
        return self._source.counts()

    def close(self) -> None:
        """Stop; `rest` then has what the bridge had sent."""
        self._pushed.close()

    def rest(self) -> list[mt5.Image]:
        """Images that came but were not taken, after the close or the end; never raises."""
        return self._pushed.rest()
