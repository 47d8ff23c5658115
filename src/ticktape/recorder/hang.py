"""Ends a capture that hangs in its terminal: nobody inside that process can.

The MetaTrader5 package waits for a terminal without a limit and holds the GIL meanwhile, so every
thread of the process stands still. What it had written is safe; its successor writes the gap down.
"""

import msgspec

from ticktape import clock
from ticktape.recorder.process import ChildEvent, ChildProcess
from ticktape.recorder.task import CaptureTask

# `initialize` itself waits up to 60 s for a terminal to start and 60 s for somebody to log in.
OPENING_S = 150.0


class HangWatch:
    """Watches the captures of terminals on this machine; a bridge's calls have limits of their own.

    `opening_s` is the longest time that opening a terminal may take.
    """

    def __init__(self, opening_s: float = OPENING_S) -> None:
        self._opening_s = opening_s
        self._open: set[str] = set()
        self._ended: dict[str, int] = {}

    def hear(self, event: ChildEvent) -> None:
        """Take in what a child reported: whether it is past opening its terminal."""
        if event.event == "session":
            is_opening = event.content["content"]["event"] in ("started", "connecting")
            (self._open.discard if is_opening else self._open.add)(event.child)
        elif event.event == "exit":
            self._open.discard(event.child)  # its successor begins anew, and that takes its time

    def look(self, child: ChildProcess) -> str:
        """End the child if it hangs; what to say of that, "" for nothing."""
        task = child.task
        if not isinstance(task, CaptureTask) or task.feed.kind != "mt5" or child.pid is None:
            return ""
        patience_s = task.feed.hang_s if child.name in self._open else self._opening_s
        silent_s = (clock.monotonic_ns() - child.heard_ns) / clock.NS_PER_S
        if silent_s <= patience_s or "://" in task.feed.terminal or child.leaving:
            return ""
        if self._ended.get(child.name) == child.pid:
            return ""  # told already; the system takes its time
        self._ended[child.name] = child.pid
        words = f"the terminal has not answered for {silent_s:.0f} s"
        child.end(msgspec.structs.replace(task, killed=words))
        return words
