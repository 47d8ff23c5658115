"""What the C library does with memory that a process has freed: keep some for the next block.

glibc gives the top of its heap back as soon as 128 kB of it are free, and asks for it anew a moment
later. A capture that took a hundred messages of some kB at each read spent a third of its CPU on
the page faults of that (7.0 against 5.0 µs a frame of 50 trades, paired).
"""

import contextlib
import ctypes
import sys

# Parameters of mallopt(3), from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 8 << 20
_OWN_MAPPING_BYTES = 4 << 20  # what is larger comes from the system and goes back to it


def keep_freed() -> None:
    """Have this process keep up to 8 MB that it has freed, where the C library can be told so.

    Once a process, before its work. The bounds are fixed by it: by itself glibc raises them with
    each larger piece that is freed, and a heap that grew in a burst would stay large.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(AttributeError):  # another C library than glibc
        tell = ctypes.CDLL(None).mallopt
        tell(_TRIM_THRESHOLD, _KEPT_BYTES)
        tell(_MMAP_THRESHOLD, _OWN_MAPPING_BYTES)
