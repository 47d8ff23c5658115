"""One process of the capture: the program's own parts, and a shadow that counts beside them."""

import asyncio
import random

from simulation_disk import Violation
from simulation_readers import FEED
from simulation_time import SECOND_NS
from simulation_venue import KEY, PROXY, SECRET, SYMBOLS

from ticktape import clock
from ticktape.feeds.alpaca import AlpacaProtocol
from ticktape.feeds.capture import Capture, CaptureConfig
from ticktape.feeds.socket import SocketConfig
from ticktape.feeds.states import SessionState
from ticktape.journal.format import BLOCK_HEADER_BYTES, WORD_BYTES
from ticktape.journal.positions import JournalState
from ticktape.journal.writer import Writer
from ticktape.records import EntryKind

_LOUD_WITHIN_NS = SECOND_NS // 2


class Anchors(clock.WallClock):
    """The wall clock, which remembers when it was set and by how much it is wrong."""

    __slots__ = ("found",)

    def __init__(self, clocks, found):
        self.found = (clocks, found)
        super().__init__()

    def reanchor(self):
        super().reanchor()
        clocks, found = self.found
        ahead_ns = self.anchor_wall_ns - self.anchor_mono_ns - clocks.boot_ns
        found.append((clocks.now_ns, ahead_ns))


class Turned:
    """A block that the writer was given: its frames, and what became of it."""

    __slots__ = ("kinds", "payloads", "seq")

    def __init__(self, payloads, kinds):
        self.payloads = payloads
        self.kinds = kinds
        self.seq = None  # until `append` returns


class WatchedWriter(Writer):
    """The writer, with a note of all that it is given."""

    def __init__(self, life, *given, **more):
        self.life = life
        super().__init__(*given, **more)

    def append(self, payloads, recv_ns, recv_mono_ns, session=0, kind=EntryKind.TEXT, kinds=None):
        turned = Turned(list(payloads), kinds or [kind] * len(payloads))
        life = self.life
        life.turned.append(turned)
        before = self.positions.statistics()
        had_told = self._held.is_told()
        turned.seq = super().append(payloads, recv_ns, recv_mono_ns, session, kind, kinds)
        body = sum(map(len, payloads)) + WORD_BYTES * len(payloads)
        life.sees_append(turned, before, had_told, BLOCK_HEADER_BYTES + body)
        return turned.seq


class Life:
    """From start to end of one process.

    `turned` is all that was given to the writer, `troubles` what it said aloud.
    """

    def __init__(self, world, rng):
        self.world = world
        self.rng = rng
        self.turned = []
        self.troubles = []
        self.anchors = []
        self.began_ns = world.clocks.now_ns
        self.boot_ns = world.clocks.boot_ns
        self.over_ns = None
        self.is_over = self.is_closed = False
        self.was_failing = False  # at its end no sync had succeeded since one failed
        self.writer = self.capture = self.task = None
        self.epoch = -1
        self.lost = 0
        self._unheard_ns = 0
        self._extra_bytes = 0  # what is held beyond the bound, for a reason
        self.delivered = world.venue.delivered = []

    def begin(self):
        world, plan = self.world, self.world.plan
        wall = Anchors(world.clocks, self.anchors)
        self.writer = WatchedWriter(
            self,
            world.journal,
            world.positions_path,
            plan.writer,
            disk=world.disk,
            on_trouble=self._on_trouble,
            wall=wall,
        )
        self.epoch = self.writer.epoch
        socket = SocketConfig(
            "ws://venue.example/v2/sip", {}, 1.0, plan.ping_s, 0.5, 1 << 20, "", PROXY
        )
        self.capture = Capture(
            CaptureConfig(FEED, f"run {len(world.lives)}", 1.0, 5.0, plan.stale_s, 2.0),
            socket,
            lambda wanted: AlpacaProtocol(KEY, SECRET, wanted),
            {"trades": list(SYMBOLS)},
            self.writer,
            wall,
            on_written=lambda *row: None,
            on_state=lambda content: world.say(f"  {content.event} {content.words}"),
            on_tick=self._on_tick,
            jitter=random.Random(self.rng.getrandbits(32)),
        )
        self.task = world.loop.create_task(self._live())

    async def _live(self):
        try:
            await self._run()
        except Exception as error:  # noqa: BLE001 - nobody awaits this task
            self.world.fail(error)

    async def _run(self):
        state = await self.capture.run()
        writer = self.writer
        self.lost = writer.close()
        self.is_closed = True
        self.was_failing = writer._tail.commit.failing
        self.world.ended(f"{state.value}, journal {writer.state().name}, {self.lost} lost")

    def stop(self, cause):
        self.capture.stop(cause)

    def is_well(self):
        """Whether data flows into a journal that takes all."""
        state = self.capture.statistics()
        return state.state in (SessionState.READY.value, "quiet") and state.journal_state == "ok"

    # What it sees.

    def refused(self):
        self._unheard_ns = self._unheard_ns or self.world.clocks.now_ns

    def _on_trouble(self, error):
        self._unheard_ns = 0
        self.troubles.append(error)

    def _on_tick(self):
        writer, now_ns = self.writer, self.world.clocks.now_ns
        quiet = writer.state() is JournalState.OK
        if quiet and self._unheard_ns and now_ns - self._unheard_ns > _LOUD_WITHIN_NS:
            raise Violation("line 6: the disk refused, and nobody was told")
        if writer.state() in (JournalState.OK, JournalState.SUSPECT):
            self._extra_bytes = 0
        held = writer.positions.statistics().held_bytes
        if held > writer.config.memory_bytes + self._extra_bytes:
            raise Violation(f"line 6: {held} bytes are held, beyond the bound")

    def sees_append(self, turned, before, had_told, size):
        state = self.writer.state()
        if turned.seq < 0:
            has_room = before.held_bytes + size <= self.writer.config.memory_bytes
            if had_told and has_room:
                raise Violation("line 6: dropped although there was room")
        elif state in (JournalState.HOLDING, JournalState.DROPPING) and (
            before.state in (JournalState.OK, JournalState.SUSPECT)
            or turned.kinds[0] == EntryKind.NOTE
        ):
            self._extra_bytes += size

    def refused_frames(self):
        """What the writer turned away, by the shadow's own count."""
        return sum(len(each.payloads) for each in self.turned if each.seq == -1)

    def bury(self, loop):
        """Clear away what a dead process leaves in this one."""
        self.is_over = True
        self.over_ns = self.world.clocks.now_ns
        tasks = sorted(asyncio.all_tasks(loop), key=lambda task: int(task.get_name()[5:]))
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks))
        if self.task is not None and not self.task.cancelled():
            self.task.exception()  # seen
        writer = self.writer
        if writer is not None and not self.is_closed:
            commit = writer._tail.commit
            commit.stop()
            writer._tail._waker.close()
            writer.positions.close()
            writer._lock.release()
            writer._closed = True
