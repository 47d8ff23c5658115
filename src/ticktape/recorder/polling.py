"""Wires the capture of a MetaTrader 5 terminal: here, or behind a bridge."""

import os
import random

from ticktape import mt5
from ticktape.config import bridge_of
from ticktape.feeds.mt5.books import BookSource, PolledBooks
from ticktape.feeds.mt5.capture import PollCapture
from ticktape.feeds.mt5.figures import PollConfig
from ticktape.feeds.mt5.pace import pace_of
from ticktape.feeds.mt5.restore import restore
from ticktape.feeds.mt5.terminal import Account, LocalTerminal, Terminal
from ticktape.recorder.rig import Rig
from ticktape.recorder.task import CaptureTask

_NS_PER_MS = 1_000_000


def source_of(task: CaptureTask, marks: int) -> tuple[Terminal, BookSource]:
    """The terminal of a feed, not yet opened, and where its images come from."""
    feed = task.feed
    bridge = bridge_of(feed.terminal)
    path = "" if feed.terminal == "module" or bridge is not None else feed.terminal
    account = Account(path, feed.server, task.key, task.secret)
    if bridge is None:
        local = LocalTerminal(account)
        return local, PolledBooks(local, marks)
    # Imported where they are needed: the terminal of this machine needs no bridge.
    from ticktape.feeds.mt5.bridge import BridgeTerminal
    from ticktape.feeds.mt5.bridged import BridgedBooks

    remote = BridgeTerminal(account, *bridge, call_timeout_s=feed.hang_s)
    if feed.push:
        return remote, BridgedBooks(remote, marks, pace_of(feed.poll_ms).interval_ns)
    return remote, PolledBooks(remote, marks)


def polled(task: CaptureTask, rig: Rig) -> PollCapture:
    """The capture of a feed of kind mt5."""
    feed = task.feed
    marks = int(mt5.WITNESS_MARKS[task.witness])
    terminal, books = source_of(task, marks)
    config = PollConfig(
        task.name,
        task.run,
        feed.books,
        feed.ticks,
        int(feed.tick_ms * _NS_PER_MS),
        feed.quiet_s,
        feed.backoff_max_s,
        marks,
        task.killed,
    )
    return PollCapture(
        config,
        terminal,
        books,
        pace_of(feed.poll_ms),
        restore(rig.directory.feed_journal(task.name), feed.ticks),
        rig.writer,
        rig.wall,
        on_written=rig.on_written,
        on_state=rig.on_state,
        on_tick=rig.on_tick,
        jitter=random.Random(os.urandom(8)),
    )
