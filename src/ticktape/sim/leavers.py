"""Connections that hear, for some messages more, what they have just unsubscribed."""

import numpy as np

from ticktape.sim.connection import Connection
from ticktape.sim.lane import Lane, Lanes


class Leavers:
    """Who they are; each hears `messages` more of what it left, 0 for none."""

    def __init__(self, messages: int) -> None:
        self._messages = messages
        self._until: dict[Connection, tuple[int, Lane | None]] = {}  # which row; what then

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._until

    def stop(self, row: int) -> int:
        """Return how far the tape may play, up to `row`, until one of them hears its last."""
        return min([row, *(until for until, _ in self._until.values())])

    def begin(self, connection: Connection, before: Lane | None, lanes: Lanes, cursor: int) -> None:
        """Look at a connection whose lane has just been changed from `before`."""
        self.forget(connection)
        after = connection.lane
        if before is None or not self._messages:
            return
        left = before.heard if after is None else before.heard & ~after.heard
        rows = np.flatnonzero(left[cursor:])[: self._messages]
        if len(rows):
            self._until[connection] = (cursor + int(rows[-1]) + 1, after)
            both = dict(before.subscription)
            for channel, names in (after.subscription if after is not None else {}).items():
                both[channel] = both.get(channel, frozenset()) | names
            connection.lane = lanes.lane(connection.wire, both)

    def end(self, cursor: int) -> None:
        """Let go of those that have heard enough, and give them the lanes they asked for."""
        for connection, (until, after) in list(self._until.items()):
            if until <= cursor:
                del self._until[connection]
                connection.lane = after

    def renew(self, lanes: Lanes) -> None:
        """Rows of the tape are heard otherwise from now on: make their lanes anew."""
        for connection, (until, after) in self._until.items():
            if after is not None:
                self._until[connection] = until, lanes.lane(connection.wire, after.subscription)

    def forget(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self._until.pop(connection, None)
