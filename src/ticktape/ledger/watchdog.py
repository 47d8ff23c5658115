"""Watches feeds for silence and lag; pure: time and what came are handed in.

The ledger's process reads the journals and decodes; it gives each batch to `observe` as columns and
then says by `advance` up to when it has read. What comes back are alarms and ends of alarms, as
values; to write them down and to call the user is the process's part. Nothing here waits, reads a
clock or drops anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ticktape.ledger.alarms import Alarm
from ticktape.ledger.coded import Coded
from ticktape.ledger.lag import LAG_CHANNELS, Lag, LagFigures, Times
from ticktape.ledger.sessions import Hours
from ticktape.ledger.silence import Silence

_VERSION = 1


class FeedHealth(NamedTuple):
    """What the watchdog thinks of a feed: how late it is, and the alarms that stand."""

    lag: LagFigures
    alarms: tuple[Alarm, ...]


class _Feed:
    def __init__(self, name: str, hours: Hours) -> None:
        self.silence = Silence(name, hours)
        self.lag = Lag(name)


class Watchdog:
    """Watches these feeds; `hours` say by feed when its market usually trades, as a hint."""

    def __init__(self, hours: Mapping[str, Hours]) -> None:
        self._feeds = {name: _Feed(name, each) for name, each in hours.items()}

    def connected(self, feed: str, ns: int) -> list[Alarm]:
        """A session of the feed is subscribed since `ns`; told in the order of its journal."""
        return self._feeds[feed].silence.connected(ns)

    def disconnected(self, feed: str, ns: int) -> list[Alarm]:
        """A session of the feed ended at `ns`: until the next one silence is a gap, no alarm."""
        return self._feeds[feed].silence.disconnected(ns)

    def forget(self, feed: str, channel: str, symbols: Sequence[str], ns: int) -> list[Alarm]:
        """These symbols are not subscribed any more."""
        return self._feeds[feed].silence.forget(channel, symbols, ns)

    def stepped(self, feed: str, by_ns: int) -> None:
        """The wall clock that stamps this feed was set forward by `by_ns`."""
        self._feeds[feed].lag.stepped(by_ns)

    def set_back(self, feed: str, ns: int) -> None:
        """That clock was set back to `ns`; all up to the step must have been judged."""
        self._feeds[feed].silence.set_back(ns)

    def observe(
        self,
        feed: str,
        channel: str,
        symbols: Coded,
        event_ns: Times,
        recv_ns: Times,
        conditions: Coded | None = None,
        tapes: Coded | None = None,
    ) -> list[Alarm]:
        """Take a batch of records of one channel (their `kind`) in the order received.

        All columns have one length; the arrays are int64 nanoseconds UTC and are not kept.
        `conditions` and `tapes` are those of trades. Returns what changed of the lag.
        """
        each = self._feeds[feed]
        each.silence.observe(channel, symbols, recv_ns)
        if channel not in LAG_CHANNELS:
            return []
        return each.lag.observe(event_ns, recv_ns, conditions, tapes)

    def advance(self, feed: str, until_ns: int) -> list[Alarm]:
        """Judge a feed up to `until_ns`.

        Everything that was received before must have been observed: a reader that is behind gives
        the time of what it read last, and only one that stands at the end gives the present. Else
        its own delay would look like silence.
        """
        each = self._feeds[feed]
        return each.silence.advance(until_ns) + each.lag.advance(until_ns)

    def health(self, feed: str) -> FeedHealth:
        """How a feed is now."""
        each = self._feeds[feed]
        return FeedHealth(each.lag.figures(), (*each.silence.open_alarms, *each.lag.open_alarms))

    def saved(self) -> dict[str, Any]:
        """What is learned of all feeds, as JSON, for `restore` after a restart.

        Alarms that stand are not in it: what is still wrong then is noticed anew.
        """
        return {
            "version": _VERSION,
            "feeds": {
                name: {"series": each.silence.saved(), "lag_ns": each.lag.saved()}
                for name, each in self._feeds.items()
            },
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `saved` gave, before anything is observed; feeds not here are left out.

        Raises:
            ValueError: this is not what `saved` gives. Begin with a new watchdog then: what is
                learned is a cache.
        """
        try:
            if saved["version"] != _VERSION:
                raise ValueError(f"version {saved['version']!r} of a watchdog's memory is not ours")
            for name, each in saved["feeds"].items():
                if name in self._feeds:
                    self._feeds[name].silence.restore(each["series"])
                    lag_ns = each["lag_ns"]
                    self._feeds[name].lag.restore(None if lag_ns is None else int(lag_ns))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is not a watchdog's memory: {error!r}") from error
