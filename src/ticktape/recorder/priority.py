"""Who runs first when there are fewer CPUs than processes: capture, and then the rest.

A reader that waits costs time; a poll that comes late costs what it would have seen. Readers step
back, which anybody may; captures step forward, which the system allows to few (root, or
CAP_SYS_NICE), and which they do without elsewhere.
"""

import contextlib
import os

from ticktape import clock

CAPTURE = -10
LAST = 5
# The table has most to do: much further behind the last values it would lag when all are busy.
TABLE = 6
OBSERVER = 15  # the ledger and the healer
UPKEEP = 19


def give_way() -> None:
    """Let whoever waits for this CPU run first; returns at once when nobody does."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        clock.sleep_s(0)  # Windows gives the rest of the slice away


def take_place(niceness: int) -> None:
    """Change this process's niceness by so much, where the system knows it and allows it."""
    if hasattr(os, "nice"):
        with contextlib.suppress(PermissionError):
            os.nice(niceness)
