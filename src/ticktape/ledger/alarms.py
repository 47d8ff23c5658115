"""Alarms as values, and which of them stand open; pure.

One outage is one alarm: it ends when data has come again for a while, and a few messages in its
middle neither end it nor begin another.
"""

from typing import NamedTuple

NS_PER_S = 1_000_000_000


class Alarm(NamedTuple):
    """Something is wrong with a feed since `since_ns`; `until_ns` is None while it lasts.

    `kind` is silence (a symbol of a channel, or with no symbol the whole channel, while the rest
    flows), mute (connected, and nothing comes) or lag (what comes is late). An alarm is known by
    kind, feed, channel, symbol and `since_ns`; its end is the same value with `until_ns` and the
    `noticed_ns` of the end. `words` say what was seen, `hint` what to do.
    """

    kind: str
    feed: str
    channel: str
    symbol: str
    since_ns: int
    noticed_ns: int
    until_ns: int | None
    words: str
    hint: str


def silence_alarm(
    feed: str,
    channel: str,
    symbol: str,
    since_ns: int,
    noticed_ns: int,
    pace_s: float,
    limit_s: float,
) -> Alarm:
    """The alarm that a symbol of a channel, a channel or a whole feed is silent."""
    what, hint = _WORDS[(bool(channel), bool(symbol))]
    words = (
        f"{what.format(channel, symbol)} for {(noticed_ns - since_ns) / NS_PER_S:.1f} s; usual is "
        f"one in {pace_s:.3g} s, and {limit_s:.1f} s of silence are improbable"
    )
    kind = "silence" if channel else "mute"
    return Alarm(kind, feed, channel, symbol, since_ns, noticed_ns, None, words, hint)


class _Open:
    """An alarm that stands; `resumed_ns` is since when data comes again, None while it does not."""

    __slots__ = ("alarm", "hold_ns", "resumed_ns")

    def __init__(self, alarm: Alarm, hold_ns: int) -> None:
        self.alarm = alarm
        self.hold_ns = hold_ns
        self.resumed_ns: int | None = None


class OpenAlarms:
    """The alarms of one feed that stand, each under a number that the owner gives it."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._open

    def __len__(self) -> int:
        return len(self._open)

    def numbers(self) -> list[int]:
        """The numbers of all that stand."""
        return list(self._open)

    def alarms(self) -> list[Alarm]:
        """All that stand, in the order in which they were noticed."""
        return [each.alarm for each in self._open.values()]

    def raise_alarm(self, number: int, alarm: Alarm, hold_ns: int) -> Alarm:
        """Open an alarm, which ends once data has come again for `hold_ns`."""
        self._open[number] = _Open(alarm, hold_ns)
        return alarm

    def resume(self, number: int, ns: int) -> None:
        """Data came for this number at `ns`; nothing happens when no alarm stands."""
        each = self._open.get(number)
        if each is not None and each.resumed_ns is None:
            each.resumed_ns = ns

    def is_resumed(self, number: int) -> bool:
        """Whether data comes again, although the alarm still stands."""
        return self._open[number].resumed_ns is not None

    def relapse(self, number: int) -> None:
        """It is silent again: what came was not the end."""
        self._open[number].resumed_ns = None

    def settled(self, number: int, now_ns: int) -> Alarm | None:
        """The end of this alarm if data has come for long enough."""
        each = self._open[number]
        if each.resumed_ns is None or now_ns - each.resumed_ns < each.hold_ns:
            return None
        return self.end(number, each.resumed_ns, now_ns)

    def end(self, number: int, until_ns: int, now_ns: int, why: str = "") -> Alarm:
        """End this alarm now; it lasted until `until_ns`, or until data came again before."""
        each = self._open.pop(number)
        if each.resumed_ns is not None:
            until_ns = min(until_ns, each.resumed_ns)
        lasted = (until_ns - each.alarm.since_ns) / NS_PER_S
        words = f"{why or 'data comes again'}, after {lasted:.1f} s"
        return each.alarm._replace(noticed_ns=now_ns, until_ns=until_ns, words=words, hint="")


# By (of a channel, of a symbol): what is seen, and what to do.
_WORDS = {
    (False, False): (
        "connected, and nothing came",
        "the stream is mute: connect anew; on a day when the market is closed this is no fault",
    ),
    (True, False): (
        "nothing came of {0}",
        "the other channels flow: subscribe to this one again",
    ),
    (True, True): (
        "nothing came of {0} {1}",
        "the others flow: see whether it is halted, or subscribe to it again",
    ),
}
