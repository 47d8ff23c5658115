"""Who runs first when there are fewer CPUs than processes: capture, and then the rest.

A reader that waits costs time; a poll that comes late costs what it would have seen. Readers step
back, which anybody may; captures step forward, which the system allows to few (root, or
CAP_SYS_NICE), and which they do without elsewhere.
"""

import contextlib
import os

CAPTURE = -10
LAST = 5
TABLE = 10
UPKEEP = 15


def take_place(niceness: int) -> None:
    """Change this process's niceness by so much, where the system knows it and allows it."""
    if hasattr(os, "nice"):
        with contextlib.suppress(PermissionError):
            os.nice(niceness)
