"""How a call takes its time: with the interpreter's lock held, as in the real module.

The real extension never gives the lock up, so that one slow call freezes every thread of the
process. `ctypes.PyDLL` calls C without giving it up, either.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from ticktape.clock import monotonic_ns, sleep_s

NS_PER_US = 1000
NS_PER_MS = 1_000_000
POLL_S = 0.01

Hold = Callable[[int, bool], None]
"""Waits so many nanoseconds; True: with the interpreter's lock."""

_PRECISE = sys.platform != "win32"
_C = ctypes.PyDLL(None if _PRECISE else "kernel32")
_LOCK_EXCLUSIVE, _UNLOCK = 2, 8  # of <sys/file.h>


def hold(wait_ns: int, with_lock: bool) -> None:
    """Wait, with the interpreter's lock or without it."""
    if not with_lock:
        sleep_s(wait_ns / 1e9)
    elif _PRECISE:
        _C.usleep(wait_ns // NS_PER_US)
    else:
        end_ns = monotonic_ns() + wait_ns
        if wait_ns >= 2 * NS_PER_MS:
            _C.Sleep(wait_ns // NS_PER_MS - 1)
        while monotonic_ns() < end_ns:
            pass


class HangLock:
    """A file whose lock is held while the terminal hangs; calls wait for it inside C.

    Where there is no flock, calls look at the switch instead, between short sleeps.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "hang.lock"
        self._number: int | None = None

    def acquire(self) -> None:
        """Make calls wait; nothing happens when they do already."""
        if self._number is None and _PRECISE:
            self._number = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            flock = import_module("fcntl").flock
            flock(self._number, _LOCK_EXCLUSIVE)

    def release(self) -> None:
        """Let calls go on; may be called twice."""
        if self._number is not None:
            os.close(self._number)
            self._number = None

    def wait(self, is_hanging: Callable[[], bool]) -> None:
        """Wait as a call does: the interpreter's lock held, deaf to signals but the last one."""
        if not _PRECISE:
            while is_hanging():
                hold(int(POLL_S * 1e9), True)
            return
        number = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            with _signals_blocked():
                _C.flock(number, _LOCK_EXCLUSIVE)
        finally:
            os.close(number)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    # A signal would end the C call, and Python's handler would run: the real one never returns.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
