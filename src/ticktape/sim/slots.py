"""Who holds which connection slot: one per user and path on the venue's normal plans.

No clock is read here: the caller says what time it is. A newcomer never pushes out who is there.
"""

from typing import NamedTuple

from ticktape.clock import NS_PER_S


class _Held(NamedTuple):
    user: str
    path: str
    free_ns: int | None  # when the slot of a connection that died unclean is given back


class Slots:
    """Slots by (user, path); `limit` of each, given back after `reap_s` when a client just dies.

    The venue takes up to 90 s to see a half-dead connection (Alpaca forum 10896).
    """

    def __init__(self, limit: int = 1, reap_s: float = 0.0) -> None:
        self.limit = limit
        self.reap_ns = int(reap_s * NS_PER_S)
        self._held: dict[int, _Held] = {}

    def take(self, connection: int, user: str, path: str, now_ns: int) -> bool:
        """Give `connection` a slot, or say that all are held."""
        self._reap(now_ns)
        holders = sum(held.user == user and held.path == path for held in self._held.values())
        if holders >= self.limit:
            return False
        self._held[connection] = _Held(user, path, None)
        return True

    def release(self, connection: int, *, clean: bool, now_ns: int) -> None:
        """Take the slot back: at once after a Close frame, else after the reaping time."""
        held = self._held.get(connection)
        if held is None or held.free_ns is not None:
            return
        if clean or self.reap_ns == 0:
            del self._held[connection]
        else:
            self._held[connection] = held._replace(free_ns=now_ns + self.reap_ns)

    def _reap(self, now_ns: int) -> None:
        for connection, held in list(self._held.items()):
            if held.free_ns is not None and held.free_ns <= now_ns:
                del self._held[connection]
