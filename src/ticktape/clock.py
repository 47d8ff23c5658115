"""The only module that reads a clock; nothing else may, so that tests can own time.

Durations are taken on the monotonic clock alone. The wall clock is *anchored* to it: one
pair (wall, monotonic) is read at start, and wall time is the anchor plus what the monotonic
clock has run since. A step of the system's clock therefore never reaches a stamp by
itself; `WallClock.drift_ns` says how far the system's clock has moved away, and whoever records
it calls `reanchor`, which makes the step an entry of its own instead of a lie in the data.

`TICKTAPE_CLOCK_SHIFT_S=-86400` lets this process, and every one that inherits the variable, live on
another day: its wall clock is the system's plus so many seconds. Never set it outside a test.
"""

import os
import time
import uuid
from datetime import UTC, datetime
from typing import Protocol

from ticktape.errors import ConfigError

NS_PER_S = 1_000_000_000

monotonic_ns = time.perf_counter_ns
"""Monotonic nanoseconds; comparable between the processes of one boot on Linux
(CLOCK_MONOTONIC), Windows (QPC) and macOS (mach_absolute_time)."""

sleep_s = time.sleep
cpu_ns = time.process_time_ns

_SHIFT_NS = round(float(os.environ.get("TICKTAPE_CLOCK_SHIFT_S") or 0) * NS_PER_S)


class Clock(Protocol):
    """What a part needs of a clock: the wall in UTC nanoseconds, and the monotonic one."""

    def wall_ns(self) -> int:
        """UTC nanoseconds now."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back; only differences mean something."""
        ...


class WallClock:
    """Wall time anchored to the monotonic clock, so that it never steps by itself."""

    __slots__ = ("anchor_mono_ns", "anchor_wall_ns")

    def __init__(self) -> None:
        self.anchor_mono_ns = 0
        self.anchor_wall_ns = 0
        self.reanchor()

    def reanchor(self) -> None:
        """Take the system's wall clock as it is now; the caller records that it did."""
        before = time.perf_counter_ns()
        self.anchor_wall_ns = wall_now_ns()
        self.anchor_mono_ns = (before + time.perf_counter_ns()) // 2

    def wall_ns(self) -> int:
        """UTC nanoseconds now, from the monotonic clock and the anchor."""
        return self.anchor_wall_ns + time.perf_counter_ns() - self.anchor_mono_ns

    def wall_at(self, mono_ns: int) -> int:
        """UTC nanoseconds of the instant `mono_ns`, so that both stamps are one instant."""
        return self.anchor_wall_ns + mono_ns - self.anchor_mono_ns

    def monotonic_ns(self) -> int:
        """Monotonic nanoseconds now."""
        return time.perf_counter_ns()

    def drift_ns(self) -> int:
        """How far the system's wall clock is ahead of ours: a step, or slow drift under NTP."""
        return wall_now_ns() - self.wall_ns()


def wall_now_ns() -> int:
    """UTC nanoseconds as the system has them now; for names and reports, never for stamps."""
    return time.time_ns() + _SHIFT_NS


def iso_utc(ns: int) -> str:
    """`ns` as RFC 3339 in UTC with nine digits, for people: 2013-10-08T19:59:00.123456789Z."""
    second, fraction = divmod(ns, NS_PER_S)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def parse_until(text: str) -> int:
    """UTC nanoseconds of `--until`: HH:MM[:SS] today or tomorrow in local time, or ISO 8601.

    An ISO text without an offset is local time, too.

    Raises:
        ConfigError: the text is neither.
    """
    now = datetime.fromtimestamp(wall_now_ns() // NS_PER_S).astimezone()
    try:
        if len(text) <= len("HH:MM:SS") and ":" in text:
            parts = [int(part) for part in text.split(":")]
            clock = dict(zip(("hour", "minute", "second"), [*parts, 0, 0], strict=False))
            moment = now.replace(microsecond=0, **clock)  # type: ignore[arg-type]
            if moment <= now:
                moment = datetime.fromtimestamp(moment.timestamp() + 86_400).astimezone()
        else:
            moment = datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise ConfigError(
            [f"--until {text!r} is not a time"],
            hint="Say 16:00, 16:00:30 (local time) or 2026-11-23T16:00-05:00.",
        ) from error
    return int(moment.timestamp()) * NS_PER_S


def parse_span_s(text: str) -> float:
    """Seconds of `--for`: 60s, 5m, 6.5h, 2d, or a bare number of seconds.

    Raises:
        ConfigError: the text is not a span.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(
            [f"--for {text!r} is not a length of time"], hint="Say 60s, 5m, 6.5h or 2d."
        )
    return seconds


def boot_id() -> bytes:
    """16 bytes that are the same for all processes of one boot: stamps compare only within it.

    Source: /proc/sys/kernel/random/boot_id on Linux; elsewhere the moment of the boot to 100 s.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as source:
            return uuid.UUID(source.read().strip()).bytes
    except OSError:
        booted = round((time.time() - time.monotonic()) / 100)
        return uuid.uuid5(uuid.NAMESPACE_OID, f"boot {booted}").bytes
