"""Layouts' planted defects: what a test puts between packing and saving of a cell's process."""

import errno

from ticktape import clock

AT = 40
"""The capture at which something happens."""
BACKLOG = 25


class At:
    """Lets captures through, but for one of them."""

    def __init__(self):
        self.count = 0
        self.kept = b""

    def __call__(self, packed):
        self.count += 1
        return self.act(packed) if self.count in (AT, AT + 1) else [packed]


class Swap(At):
    """Two captures change places."""

    def act(self, packed):
        if self.count == AT:
            self.kept = packed
            return []
        return [packed, self.kept]


class Drop(At):
    """One is gone."""

    def act(self, packed):
        return [] if self.count == AT else [packed]


class Duplicate(At):
    """One comes twice, later."""

    def act(self, packed):
        if self.count == AT:
            self.kept = packed
            return [packed]
        return [packed, self.kept]


class Twice(At):
    """One comes twice in a row."""

    def act(self, packed):
        return [packed, packed] if self.count == AT else [packed]


class Flip(At):
    """One bit of a price is another."""

    def act(self, packed):
        if self.count != AT:
            return [packed]
        damaged = bytearray(packed)
        damaged[40] ^= 1
        return [bytes(damaged)]


class Stall(At):
    """A second in which nothing happens."""

    def act(self, packed):
        if self.count == AT:
            clock.sleep_s(1.0)
        return [packed]


class LeaveBacklog:
    """The newest are kept back, and never saved."""

    def __init__(self):
        self.held = []

    def __call__(self, packed):
        self.held.append(packed)
        return [self.held.pop(0)] if len(self.held) > BACKLOG else []


class FullDisk(At):
    """The disk has no room."""

    def act(self, packed):
        raise OSError(errno.ENOSPC, "No space left on device")
