"""The capture process: one feed, its journal, and nothing else."""

import asyncio
import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

from ticktape.directory import RunDirectory
from ticktape.feeds import protocol_maker, upgrade_headers
from ticktape.feeds.capture import Capture, CaptureConfig
from ticktape.feeds.socket import SocketConfig
from ticktape.feeds.states import SessionState
from ticktape.recorder.cpus import confine
from ticktape.recorder.parent import EXIT_REFUSED, Channels, Parent
from ticktape.recorder.priority import CAPTURE, take_place
from ticktape.recorder.rig import Rig
from ticktape.recorder.task import CaptureTask
from ticktape.recorder.turn import turn


def _streamed(task: CaptureTask, rig: Rig) -> Capture:
    """The capture of a venue that streams over a WebSocket."""
    feed = task.feed
    ways = {"encoding": feed.encoding, "auth": feed.auth}
    make = protocol_maker(feed.kind, **ways)
    wanted = {channel: list(symbols) for channel, symbols in feed.channels().items()}
    return Capture(
        CaptureConfig(
            feed.name,
            task.run,
            feed.connect_timeout_s,
            feed.quiet_s,
            feed.stale_s,
            feed.backoff_max_s,
        ),
        SocketConfig(
            feed.url,
            upgrade_headers(feed.kind, task.key, task.secret, **ways),
            feed.connect_timeout_s,
            feed.ping_s,
            feed.pong_timeout_s,
            feed.max_frame_bytes,
            feed.ca_file,
            task.proxy,
        ),
        lambda wanted: make(task.key, task.secret, wanted),
        wanted,
        rig.writer,
        rig.wall,
        on_written=rig.on_written,
        on_state=rig.on_state,
        on_tick=rig.on_tick,
        jitter=random.Random(os.urandom(8)),
    )


async def _run_streamed(capture: Capture, parent: Parent, start_wait_s: float) -> SessionState:
    """Record until the parent says leave, with whatever subscription it says meanwhile."""
    loop = asyncio.get_running_loop()
    leaving = asyncio.Event()

    def stop() -> None:
        capture.stop(_cause(parent))
        leaving.set()

    def leave() -> None:
        _call_in(loop, stop)

    def change(channels: Channels) -> None:
        _call_in(loop, capture.change, channels)

    parent.listen(leave, change)
    if start_wait_s:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(leaving.wait(), start_wait_s)
    return await capture.run()


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *given: object) -> None:
    """Call it in the loop's thread; a loop that is closed has nothing left to do."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *given)


def _cause(parent: Parent) -> str:
    return "the recorder's supervisor died" if parent.orphaned else ""


def _run(task: CaptureTask, parent: Parent, rig: Rig) -> SessionState:
    if task.feed.kind == "mt5":
        # Imported where it is needed: a stream's capture needs no NumPy.
        from ticktape.recorder.polling import polled

        parent.again_ns = 0  # a sign of life: the supervisor ends who gives none for hang_s
        polling = polled(task, rig)
        rig.statistics = lambda: polling.statistics()._asdict()
        parent.listen(lambda: polling.stop(_cause(parent)))
        if task.alone >= 0:
            # Last, so that the threads that are there by now stay on the CPUs of all others: the
            # group commit, which takes the interpreter's lock forty times a second, too.
            confine(str(task.alone))
        return polling.run()
    capture = _streamed(task, rig)
    rig.statistics = lambda: capture.statistics()._asdict()
    return asyncio.run(_run_streamed(capture, parent, task.start_wait_s))


def _pin(cpu: int) -> None:
    if cpu >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def main(task: CaptureTask, parent: Parent) -> int:
    """Run the capture child; its exit code."""
    _pin(task.feed.pin_cpu)
    take_place(CAPTURE)
    with turn(RunDirectory(Path(task.directory)), f"capture-{task.name}", parent):
        return _capture(task, parent)


def _capture(task: CaptureTask, parent: Parent) -> int:
    rig = Rig(task, parent)
    try:
        state = _run(task, parent, rig)
    finally:
        rig.report()
        lost = rig.close()
        if lost:
            words = f"{lost} frames are in no journal: the disk refused to the end"
            parent.tell("trouble", words=words, hint="", lost_frames=lost)
    return EXIT_REFUSED if state is SessionState.REFUSED else 0
