"""Tells a service manager how the recorder stands: systemd's protocol, a datagram per report.

Where there is no service manager, and where the system knows no Unix sockets, nothing is told. A
manager that is gone or does not listen never holds a recording up.

Source: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html (2026-11-26).
"""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

from ticktape import clock

_STATUS_MAX: Final = 500  # characters; more than fits on a line of `systemctl status`
_PER_WATCHDOG: Final = 3  # signs of life in the time within which the manager wants one
_NS_PER_US: Final = 1_000
_DAY_US: Final = 86_400_000_000


class Notifier:
    """The service manager, as the recorder sees it; for one thread.

    Args:
        address: of the manager's socket, a path or `@` and an abstract name; "" for none.
        watchdog_ns: within so long the manager wants a sign of life; 0 when it wants none.
        monotonic_ns: the clock.
    """

    def __init__(
        self,
        address: str,
        watchdog_ns: int = 0,
        monotonic_ns: Callable[[], int] = clock.monotonic_ns,
    ) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._every_ns = watchdog_ns // _PER_WATCHDOG
        self._monotonic_ns = monotonic_ns
        self._alive_at_ns = 0
        self._status = ""
        self._socket: socket.socket | None = None
        family = getattr(socket, "AF_UNIX", None)
        if address and family is not None:
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    @property
    def is_there(self) -> bool:
        """Whether there is a manager to tell."""
        return self._socket is not None

    @classmethod
    def of_environment(cls, environ: Mapping[str, str], pid: int | None = None) -> "Notifier":
        """The manager that the environment names; the watchdog may be meant for another process."""
        watchdog = environ.get("WATCHDOG_USEC", "")
        own = str(os.getpid() if pid is None else pid)
        is_ours = environ.get("WATCHDOG_PID", own) == own
        watchdog_us = int(watchdog) if watchdog.isdecimal() and is_ours else 0
        return cls(environ.get("NOTIFY_SOCKET", ""), watchdog_us * _NS_PER_US)

    def ready(self) -> None:
        """The recorder is at work; whoever waited for it may start."""
        self._send("READY=1")

    def status(self, words: str) -> None:
        """How it stands, for `systemctl status`; the same words are sent once."""
        line = " ".join(words.split())[:_STATUS_MAX]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def alive(self) -> None:
        """A sign of life, sent as often as is wanted; to be called by what must not stand still."""
        now_ns = self._monotonic_ns()
        if self._every_ns and now_ns >= self._alive_at_ns:
            self._alive_at_ns = now_ns + self._every_ns
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The recorder drains and leaves; from now on the manager's bound for that holds alone."""
        self._send("STOPPING=1")
        if self._every_ns:
            # The proof of a long run is one long piece of work, which gives no signs of life.
            self._send(f"WATCHDOG_USEC={_DAY_US}")

    def _send(self, line: str) -> None:
        if self._socket is None:
            return
        # What cannot be told is not told: recording goes on, and a manager that lives starts it
        # again should it take the silence for death.
        with contextlib.suppress(OSError):
            self._socket.sendto(line.encode(), self._address)

    def close(self) -> None:
        """Let the socket go; may be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
