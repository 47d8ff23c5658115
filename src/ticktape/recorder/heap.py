"""What the C library and the system do with the memory of a process, where the habit costs.

glibc gives the top of its heap back as soon as 128 kB of it are free, and asks for it anew a moment
later. A capture that took a hundred messages of some kB at each read spent a third of its CPU on
the page faults of that (7.0 against 5.0 µs a frame of 50 trades, paired).
"""

import contextlib
import ctypes
import sys

# Parameters of mallopt(3), from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_SET_THP_DISABLE = 41  # of prctl(2), from linux/prctl.h
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


def use_small_pages() -> None:
    """Have the system give this process pages of 4 kB only, where it can be told so.

    Once a process, before its work. Arrow's allocator asks for pages of 2 MB; where one of them is
    in use for a few kB, all of it is taken, and the system makes more of them as time goes on.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_SET_THP_DISABLE, 1, 0, 0, 0)
