"""Who runs first when there are fewer CPUs than processes: capture, and then the rest.

A reader that waits costs time; a poll that comes late costs what it would have seen.
"""

import os


def step_back(steps: int) -> None:
    """Let captures go first: by so many steps of niceness, where the system knows them."""
    if hasattr(os, "nice"):
        os.nice(steps)
