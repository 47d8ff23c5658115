"""What each process of a run is to do, by its config and by what the run's directory holds."""

from collections.abc import Mapping

from ticktape.config import REST, Config, FeedConfig, Keys, heal_base, hours_of
from ticktape.directory import DECISION, LEDGER, RunDirectory
from ticktape.journal.segments import list_segments
from ticktape.recorder.task import (
    CaptureTask,
    DecideTask,
    FeedPlace,
    HealFeed,
    HealTask,
    LastTask,
    LedgerTask,
    TableTask,
    Task,
    UpkeepTask,
    WatchedFeed,
)


class Assignments:
    """The tasks of one run's processes, by their names.

    Args:
        config: the whole config.
        run: the run's name.
        directory: where it records; its journals say at which epochs strategies begin.
        keys: feed -> its keys.
        proxies: feed -> the proxy to go through, "" for none.
    """

    def __init__(
        self,
        config: Config,
        run: str,
        directory: RunDirectory,
        keys: Mapping[str, Keys],
        proxies: Mapping[str, str],
    ) -> None:
        self._config = config
        self._run = run
        self._directory = directory
        self._root = str(directory.root)
        self._keys = keys
        self._proxies = proxies
        self._feeds = [
            FeedPlace(name, feed.kind) for feed in config.feed for name in feed.journals()
        ]
        self._healed = [self._heal(feed) for feed in config.feed if heal_base(feed)]
        self._rest = [FeedPlace(feed.name + REST, "alpaca_rest") for feed in self._healed]

    def readers(self) -> dict[str, Task]:
        """Those that are opened before the feeds and closed after them."""
        config, run, root = self._config, self._run, self._root
        decisions = [decide.name for decide in config.decide]
        watched = [
            WatchedFeed(name, feed.kind, hours_of(feed))
            for feed in config.feed
            for name in feed.journals()
        ]
        found: dict[str, Task] = {
            "table": TableTask(
                run,
                root,
                [*self._feeds, *self._rest],
                decisions,
                config.table,
                config.journal.reserve_bytes,
            )
        }
        if self._healed:
            found["heal"] = HealTask(run, root, self._healed, config.journal)
        found["ledger"] = LedgerTask(run, root, watched, config.journal)
        found |= self._strategies()
        found["last"] = LastTask(run, root, self._feeds)
        return found

    def upkeep(self) -> UpkeepTask:
        """That of the process that seals and deletes."""
        names = [feed.name for feed in [*self._feeds, *self._rest]]
        own = [*(f"{DECISION}:{decide.name}" for decide in self._config.decide), LEDGER]
        healed = [feed.name for feed in self._healed]
        return UpkeepTask(
            self._run, self._root, [*names, *own], names, healed, self._config.journal
        )

    def captures(self, alone: Mapping[str, int]) -> dict[str, CaptureTask]:
        """Those of the feeds; `alone` says which of them has a CPU for itself."""
        found = {}
        for feed in self._config.feed:
            keys = self._keys[feed.name]
            for name in feed.journals():
                found[f"capture-{name}"] = CaptureTask(
                    self._run,
                    self._root,
                    name,
                    feed,
                    self._config.journal,
                    keys.key,
                    keys.secret,
                    self._proxies.get(feed.name, ""),
                    alone.get(name, -1),
                )
        return found

    def _heal(self, feed: FeedConfig) -> HealFeed:
        keys = self._keys[feed.name]
        return HealFeed(feed.name, feed, keys.key, keys.secret, self._proxies.get(feed.name, ""))

    def _strategies(self) -> dict[str, DecideTask]:
        positions = {feed.name: (self._next_epoch(feed.name), 0) for feed in self._feeds}
        found = {}
        for index, decide in enumerate(self._config.decide):
            found[f"decide-{decide.name}"] = DecideTask(
                self._run,
                self._root,
                self._feeds,
                decide,
                self._config.journal,
                positions,
                self._next_epoch(f"{DECISION}:{decide.name}"),
                # The first strategy's stage is `decided`; further ones are told apart by name.
                f"decided-{decide.name}" if index else "decided",
            )
        return found

    def _next_epoch(self, name: str) -> int:
        segments = list_segments(self._directory.journal(name))
        return segments[-1].epoch + 1 if segments else 0
