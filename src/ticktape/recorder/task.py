"""What a child is told on its standard input: its role, its run, and its part of the config.

A task holds keys. It is written to a pipe and nowhere else.
"""

from pathlib import Path

import msgspec

from ticktape.config import DecideConfig, FeedConfig, JournalConfig, TableConfig


class FeedPlace(msgspec.Struct, frozen=True):
    """A feed as its readers know it."""

    name: str
    kind: str


class CaptureTask(msgspec.Struct, frozen=True, tag="capture"):
    """Record one feed, or one leg of it, into the journal `name`.

    `alone` is the CPU that its thread has for itself, -1 for none. `killed` says why the process
    before this one was ended, if the supervisor did that. `start_wait_s` is how long to wait before
    the first connection, so that feeds of one host do not all knock at once.
    """

    run: str
    directory: str
    name: str
    feed: FeedConfig
    journal: JournalConfig
    key: str
    secret: str
    proxy: str
    alone: int = -1
    killed: str = ""
    start_wait_s: float = 0.0

    @property
    def witness(self) -> str:
        """Which leg this is; "stream" when it is the only one."""
        if self.feed.legs == 1:
            return "stream"
        return "leg A" if self.name == self.feed.name else "leg B"

    def __repr__(self) -> str:
        return f"CaptureTask({self.name}, keys hidden)"


class WatchedFeed(msgspec.Struct, frozen=True):
    """A feed as the ledger knows it; `hours` are "us stocks", "fx" or "always"."""

    name: str
    kind: str
    hours: str


class LedgerTask(msgspec.Struct, frozen=True, tag="ledger"):
    """Count what all feeds bring, compare it with the tables, and watch for what is missing."""

    run: str
    directory: str
    feeds: list[WatchedFeed]
    journal: JournalConfig


class HealFeed(msgspec.Struct, frozen=True):
    """A feed that can be healed, and how to show who asks."""

    name: str
    feed: FeedConfig
    key: str
    secret: str
    proxy: str

    def __repr__(self) -> str:
        return f"HealFeed({self.name}, keys hidden)"


class HealTask(msgspec.Struct, frozen=True, tag="heal"):
    """Fetch from REST what the feeds have missed, into a journal beside each feed's own."""

    run: str
    directory: str
    feeds: list[HealFeed]
    journal: JournalConfig


class LastTask(msgspec.Struct, frozen=True, tag="last"):
    """Keep the last values of all feeds."""

    run: str
    directory: str
    feeds: list[FeedPlace]


class DecideTask(msgspec.Struct, frozen=True, tag="decide"):
    """Run one strategy over all feeds.

    `positions` is where this run's data begins, `log_epoch` where its own journal does.
    """

    run: str
    directory: str
    feeds: list[FeedPlace]
    decide: DecideConfig
    journal: JournalConfig
    positions: dict[str, tuple[int, int]]
    log_epoch: int
    stage: str


class TableTask(msgspec.Struct, frozen=True, tag="table"):
    """Bring the rows of all feeds and strategies into the tables, and what the ledger says.

    With less than `reserve_bytes` free it waits.
    """

    run: str
    directory: str
    feeds: list[FeedPlace]
    decisions: list[str]
    table: TableConfig
    reserve_bytes: int = 0


class UpkeepTask(msgspec.Struct, frozen=True, tag="upkeep"):
    """Seal the closed segments of `journals`, and delete of `deleted` what need not be kept.

    `healed` are the feeds whose healer must find what it has yet to read.
    """

    run: str
    directory: str
    journals: list[str]
    deleted: list[str]
    healed: list[str]
    journal: JournalConfig


Task = CaptureTask | LastTask | DecideTask | TableTask | LedgerTask | HealTask | UpkeepTask

encode_task = msgspec.json.Encoder(enc_hook=str).encode


def _path(kind: type, text: object) -> Path:
    assert kind is Path
    return Path(str(text))


_decoder = msgspec.json.Decoder(Task, dec_hook=_path)


def decode_task(line: bytes) -> Task:
    """The task on a child's first line."""
    task: Task = _decoder.decode(line)
    return task
