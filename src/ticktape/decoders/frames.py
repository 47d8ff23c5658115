"""The records of one frame: all at once where its messages are of one type, else one by one.

Nothing that a venue sends may raise here. One by one it is found out which message cannot be read,
and why; what is made at once is the same, and quicker.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import msgspec

from ticktape.records import Record, Unknown

MakesOne: TypeAlias = Callable[[Any, str, int, int, int, int], Record]
"""`make(message, feed, recv_ns, epoch, seq, index)`; raises ValueError for what is no record."""

MakesAll: TypeAlias = Callable[[list[Any], str, int, int, int], list[Record]]
"""`make(messages, feed, recv_ns, epoch, seq)`; raises ValueError when one of them is no record."""


class Unreadable(msgspec.Struct, frozen=True, gc=False):
    """A message that the venue's grammar does not know, with the reason."""

    reason: str
    text: str


def unreadable(reason: str, raw: bytes) -> Unreadable:
    """Keep what could not be read; bytes that are not UTF-8 are replaced in the text."""
    return Unreadable(reason=reason, text=raw.decode("utf-8", "replace"))


class CutsFrames(Protocol):
    """What is needed of a venue's grammar."""

    @property
    def controls(self) -> frozenset[type]:
        """Types of wire messages that make no row."""

    def text(self, payload: bytes, index: int) -> bytes:
        """The message at `index` of a frame, as text to read; never raises."""


class Frames:
    """Makes the records of a feed's frames.

    Args:
        feed: its name.
        wire: the venue's grammar.
        makers: type of message -> what makes one record.
        makers_of_all: the same for types that come in masses -> what makes those of a frame.
    """

    __slots__ = ("_feed", "_makers", "_makers_of_all", "_wire")

    def __init__(
        self,
        feed: str,
        wire: CutsFrames,
        makers: Mapping[type, MakesOne],
        makers_of_all: Mapping[type, MakesAll],
    ) -> None:
        self._feed = feed
        self._wire = wire
        self._makers = makers
        self._makers_of_all = makers_of_all

    def together(
        self, messages: list[Any], recv_ns: int, epoch: int, seq: int
    ) -> list[Record] | None:
        """The records of messages of one type; None when they are to be made one by one."""
        make = self._makers_of_all.get(messages[0].__class__) if messages else None
        if make is None or len(set(map(type, messages))) > 1:
            return None
        try:
            return make(messages, self._feed, recv_ns, epoch, seq)
        except ValueError:
            return None  # one of them is none; which, and why, is found out then

    def one_by_one(
        self, messages: list[Any], payload: bytes, found: list[Record], place: tuple[int, int, int]
    ) -> tuple[int, int]:
        """Append the records to `found`; how many messages were control, and how many unknown.

        `place` is recv_ns, epoch and seq of the frame whose payload it is.
        """
        feed, (recv_ns, epoch, seq) = self._feed, place
        control = unknown = 0
        for index, message in enumerate(messages):
            make = self._makers.get(message.__class__)
            if make is None:
                if message.__class__ in self._wire.controls:
                    control += 1
                    continue
            else:
                try:
                    found.append(make(message, feed, recv_ns, epoch, seq, index))
                    continue
                except ValueError as error:
                    message = unreadable(str(error), self._wire.text(payload, index))
            unknown += 1
            found.append(_unknown(message, feed, recv_ns, epoch, seq, index))
        return control, unknown


def _unknown(
    message: Unreadable, feed: str, recv_ns: int, epoch: int, seq: int, index: int
) -> Unknown:
    # Its own time could not be read, so it stands at the time when we received it.
    return Unknown(
        feed=feed,
        symbol="",
        event_ns=recv_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        reason=message.reason,
        text=message.text,
    )
