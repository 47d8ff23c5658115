"""One path of the venue: a tape with one cursor, broadcast to whoever listens.

Who is away misses what is sent meanwhile, as at the real venue, unless the tape holds. The
cursor never goes back, and nothing is put on a wire that is not noted in the truth.
"""

import asyncio
from collections.abc import Callable
from random import Random

from ticktape import clock
from ticktape.clock import NS_PER_S
from ticktape.sim.brakes import Brakes
from ticktape.sim.config import Program, SimConfig
from ticktape.sim.connection import Connection
from ticktape.sim.families import V1_PATH
from ticktape.sim.faults import Fault, Strikes
from ticktape.sim.lane import Lanes, StillBlocks
from ticktape.sim.leavers import Leavers
from ticktape.sim.muting import Muting, read_mute
from ticktape.sim.orderbooks import BookKeeper
from ticktape.sim.pace import Pace, step_s
from ticktape.sim.schedule import Schedule
from ticktape.sim.spoiling import spoil
from ticktape.sim.states import Subscription
from ticktape.sim.tape import Tape
from ticktape.sim.tricks import unsent_rows
from ticktape.sim.truth import Truth

BURST_ROWS = 512  # about 64 kB of JSON: some socket reads, and the loop breathes between


class Stream:
    """A path: its tape, its listeners, its faults. `run` plays the tape once enough listen."""

    def __init__(self, path: str, program: Program, config: SimConfig, truth: Truth) -> None:
        self.path = path
        self.messages = 0
        self.frames = 0
        self._joins = path != V1_PATH  # v1 has one message per frame
        self.ended = asyncio.Event()
        self.started = asyncio.Event()
        self._config = config
        self._tape = program.tape
        self._speed = config.speed if program.speed is None else program.speed
        self._passes = config.passes if program.passes is None else program.passes
        self._truth = truth
        self._listeners: list[Connection] = []
        self._changed = asyncio.Event()
        mine = [fault for fault in config.faults if fault.path in ("", path)]
        self._muting = Muting(unsent_rows(mine, len(self._tape), config.seed))
        self._playing = self._tape  # as it is in this pass
        self._books = BookKeeper(self._playing)
        unsent = self._muting.unsent(self._playing)
        still: dict[str, StillBlocks] | None = None if self._passes == 1 else {}
        self._lanes = Lanes(self._playing, config.batch, unsent, still=still)
        self._cursor = 0
        self._played = 0
        self._sessions = 0
        self._step_s = step_s(config.rate, config.batch)
        self._brakes = Brakes()
        self._random = Random(config.seed)
        self._schedule = Schedule(mine, config.batch if self._joins else 1, Random(config.seed))
        self._room: dict[Connection, int] = {}  # bytes left, of those that nothing gets out to
        self._before_ack = _value(mine, "data_before_ack")
        self._leavers = Leavers(_value(mine, "data_after_unsubscribe"))
        self._again = _value(mine, "duplicate_after_reconnect")

    @property
    def tape(self) -> Tape:
        """The tape of the first pass."""
        return self._tape

    @property
    def rows(self) -> int:
        """How many rows one pass of the tape has."""
        return len(self._tape)

    @property
    def rows_played(self) -> int:
        """How many rows happened so far over all passes, whether anyone heard them or not."""
        return self._played if self.ended.is_set() else self._played + self._cursor

    @property
    def ack_after(self) -> int:
        """How many messages a connection gets before its subscription is acknowledged."""
        return 0 if self.ended.is_set() else self._before_ack

    # Who listens.

    def subscribe(self, connection: Connection, subscription: Subscription) -> None:
        """Let a connection hear this from the next row on."""
        wanted = {channel: names for channel, names in subscription.items() if names}
        newcomer = connection not in self._listeners
        before = connection.lane
        if not wanted:
            connection.lane = None
        else:
            connection.lane = self._lanes.lane(connection.wire, wanted)
            if newcomer:
                self._listeners.append(connection)
                self._sessions += 1
                self._send_again(connection)
        self._leavers.begin(connection, before, self._lanes, self._cursor)
        if wanted:
            self._lanes.keep([listener.lane for listener in self._listeners])
        self._changed.set()

    def send_books(self, connection: Connection, symbols: frozenset[str]) -> None:
        """Send the whole books of these symbols as they stand where the tape is."""
        if self._again or self._before_ack:
            # Faults have rows on their way now; a book comes after them and must hold them.
            asyncio.get_running_loop().call_soon(lambda: self._send_books(connection, symbols))
        else:
            self._send_books(connection, symbols)

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        if connection in self._listeners:
            self._listeners.remove(connection)
        self._room.pop(connection, None)
        self._leavers.forget(connection)
        self._changed.set()

    def _send_again(self, connection: Connection) -> None:
        stop = self._cursor
        start = max(0, stop - self._again)
        if self._sessions > 1 and start < stop:
            # Soon, and not now: the acknowledgement goes out first.
            asyncio.get_running_loop().call_soon(
                lambda: self._send(connection, start, stop, fault="duplicate_after_reconnect")
            )

    def _receiving(self) -> list[Connection]:
        return [connection for connection in self._listeners if connection.receiving]

    # The tape.

    async def run(self, on_end: Callable[["Stream"], None]) -> None:
        """Play all passes of the tape; returns at its end, with 0 passes never."""
        await self._until(lambda: len(self._receiving()) >= self._config.wait_for)
        self.started.set()
        started_ns = clock.monotonic_ns()
        number = 0
        while self._passes == 0 or number < self._passes:
            tape = self._tape.again(number)
            if number:
                self._change_tape(tape)
            self._truth.note_tape(self.path, number, tape)
            await self._play(started_ns)
            self._played += len(tape)
            number += 1
        for connection in self._receiving():
            connection.acknowledge()
        self.ended.set()
        on_end(self)

    def _change_tape(self, tape: Tape) -> None:
        self._playing, self._books = tape, BookKeeper(tape)
        self._cursor = 0
        self._muting.next_pass()
        self._lanes = self._lanes.again(tape)
        self._renew_lanes()

    def _renew_lanes(self) -> None:
        """Let each listener hear what is sent from now on."""
        self._lanes = self._lanes.without(self._muting.unsent(self._playing))
        for connection in self._listeners:
            if connection.lane is not None:
                wanted = connection.lane.subscription
                connection.lane = self._lanes.lane(connection.wire, wanted)
        self._leavers.renew(self._lanes)

    async def _play(self, started_ns: int) -> None:
        tape, config = self._playing, self._config
        pace = Pace(
            tape.due_ns,
            random=self._random,
            speed=self._speed,
            rate=config.rate,
            jitter_ms=config.jitter_ms,
        )
        pace.start(self._now_ns(), self._cursor)
        while self._cursor < len(tape):
            if await self._paused(pace):
                pace.start(self._now_ns(), self._cursor)
            elapsed_s = (clock.monotonic_ns() - started_ns) / NS_PER_S
            self._schedule.arm(elapsed_s, self._played + self._cursor)
            if self._muting.end(tape, self._cursor, clock.monotonic_ns()):
                self._renew_lanes()
            due = self._whole_frames(pace.rows_due(self._now_ns()))
            stop = min(due, self._burst_end(), self._next_stop())
            if self._brakes.slow_s:
                stop = min(stop, self._frame_end(self._cursor))
            if stop > self._cursor:
                self._broadcast(stop)
            self._strike(due)
            self._leavers.end(self._cursor)
            await self._breathe(pace)

    def _now_ns(self) -> int:
        return clock.monotonic_ns() - self._brakes.late_ns

    async def _paused(self, pace: Pace) -> bool:
        """Wait while the tape holds; return whether it did."""
        pause_s, held = self._brakes.take_pause()
        if pause_s:
            await asyncio.sleep(pause_s)
        # An endless tape at full speed would only spin while nobody hears it.
        spins = pace.unbounded and self._passes == 0
        if (self._config.hold or spins) and not self._receiving():
            held = True
            await self._until(lambda: bool(self._receiving()))
        return held

    async def _breathe(self, pace: Pace) -> None:
        """Wait for the next frame's time, and at full speed for the slowest client."""
        if pace.unbounded:
            for connection in self._receiving():
                await connection.writable.wait()
        if self._brakes.slow_s:
            await asyncio.sleep(self._brakes.slow_s)
        wait_s, end = 0.0, self._frame_end(self._cursor) - 1
        if end > 0 and self._cursor < len(self._playing):
            wait_s = pace.wait_s(end, self._now_ns())
        await self._sleep(max(wait_s, self._step_s) if wait_s else 0.0)

    async def _sleep(self, wait_s: float) -> None:
        # A tape may be silent for minutes; faults by time and leavers must still be seen.
        timed = self._schedule.timed or self._muting.timed
        await asyncio.sleep(min(wait_s, 0.25 if timed else 1.0))

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._changed.clear()
            await self._changed.wait()

    def _whole_frames(self, due: int) -> int:
        total = len(self._playing)
        return due if due >= total else due - due % self._config.batch

    def _burst_end(self) -> int:
        batch = self._config.batch
        return (self._cursor // batch + max(1, BURST_ROWS // batch)) * batch

    def _frame_end(self, row: int) -> int:
        batch = self._config.batch
        return min((row // batch + 1) * batch, len(self._playing))

    # Sending.

    def _broadcast(self, stop: int) -> None:
        for connection in self._receiving():
            fault = "data_after_unsubscribe" if connection in self._leavers else ""
            self._send(connection, self._cursor, stop, fault)
            if self._too_slow(connection):
                connection.control(connection.wire.error(407))
                connection.abort()
        self._cursor = stop

    def _too_slow(self, connection: Connection) -> bool:
        if connection in self._room:
            return self._room[connection] <= 0
        return not self._unbounded and connection.buffered_bytes > self._config.buffer_bytes

    @property
    def _unbounded(self) -> bool:
        return self._speed == 0 and self._config.rate == 0

    def _send(self, connection: Connection, start: int, stop: int, fault: str = "") -> None:
        lane = connection.lane
        if lane is None:
            return
        place = connection.place()
        bursts = lane.burst(start, stop)
        count = sum(burst.messages for burst in bursts)
        stuck = connection in self._room
        if count:
            fault = "slow_drain" if stuck else fault
            self._truth.rows(
                *(place, lane, start, stop, count),
                played=self._played,
                fault=fault,
                whole=not stuck,
            )
        if stuck:
            self._room[connection] -= sum(len(burst.content) for burst in bursts)
            return
        for burst in bursts:
            connection.send_burst(burst, place)
            self._count(burst.messages, burst.frames)

    def _count(self, messages: int, frames: int) -> None:
        self.messages += messages
        self.frames += frames

    # Faults.

    def _next_stop(self) -> int:
        stop = self._schedule.stop(self._played, self._cursor, len(self._playing))
        return self._leavers.stop(stop)

    def _strike(self, due: int) -> None:
        """Let all faults strike whose place is here; of those in a frame one, for it is sent."""
        end = self._spoilt_end()
        while (
            fault := self._schedule.take(self._played, self._cursor, end if end <= due else 0)
        ) is not None:
            if fault.strikes is Strikes.IN_FRAME:
                self._spoil_frame(fault)
                break
            self._strike_after(fault)

    def _strike_after(self, fault: Fault) -> None:
        self._brakes.pull(fault, unbounded=self._unbounded)
        if fault.name == "mute_symbol" and (mute := read_mute(fault.value)) is not None:
            self._muting.begin(mute, self._cursor, clock.monotonic_ns())
            self._renew_lanes()
        for connection in self._receiving():
            match fault.name:
                case "disconnect":
                    connection.drop()
                case "mute":
                    connection.mute()
                case "half_open":
                    connection.fall_half_open()
                case "slow_drain":
                    self._room.setdefault(connection, int(fault.amount))
                case "error":
                    connection.control(connection.wire.error(fault.code))
                case "malformed":
                    self._send_extra(connection, fault, connection.wire.malformed())
                case "unknown_type":
                    payload = connection.wire.unknown(int(fault.amount))
                    self._send_extra(connection, fault, payload)

    def _spoilt_end(self) -> int:
        """Return where the frame that a fault would strike now ends."""
        if self._joins:
            return self._frame_end(self._cursor)
        return min(self._cursor + 1, len(self._playing))

    def _send_extra(self, connection: Connection, fault: Fault, payload: bytes) -> None:
        text = connection.wire.text(payload)
        self._truth.extra(connection.place(), fault.name, text)
        connection.send_extra(payload)
        self._count(1, 1)

    def _send_books(self, connection: Connection, symbols: frozenset[str]) -> None:
        for book in self._books.whole(symbols, self._cursor):
            heard = connection.receiving and connection not in self._room
            if heard and book.symbol not in self._muting.symbols:
                self._truth.book(connection.place(), book)
                connection.send_extra(connection.wire.book(book))
                self._count(1, 1)

    def _spoil_frame(self, fault: Fault) -> None:
        """Send the frame of the fault's message to each listener, spoilt as the fault says."""
        start, stop = self._cursor, self._spoilt_end()
        cut = False
        for connection in self._receiving():
            if connection in self._room:
                self._send(connection, start, stop)
            else:
                cut |= self._send_spoilt(connection, fault, start, stop)
        # A held tape goes on with the frame that nobody got whole; the venue's own would not.
        if not (cut and self._config.hold):
            self._cursor = stop

    def _send_spoilt(self, connection: Connection, fault: Fault, start: int, stop: int) -> bool:
        lane = connection.lane
        assert lane is not None and fault.row is not None
        messages = lane.messages(start, stop)
        if not messages:
            return False
        # Two faults may want one frame; the later then takes the first message of the next.
        row = max(start, fault.row - self._played - 1)
        target = min(int(lane.heard[start:row].sum()), len(messages) - 1)
        wire, place = connection.wire, connection.place()
        spoilt = spoil(fault, lane, wire, messages, target)
        self._truth.rows(
            *(place, lane, start, stop, len(messages)),
            played=self._played,
            fault=fault.name,
            whole=spoilt.whole,
        )
        if spoilt.unreadable:
            self._truth.extra(place, fault.name, wire.text(spoilt.unreadable))
        connection.write(spoilt.content)
        connection.frames += 1
        connection.messages += len(messages)
        if fault.name != "close_mid_frame":
            self._count(len(messages), 1)
            return False
        connection.drop()
        return True


def _value(faults: list[Fault], name: str) -> int:
    return max((int(fault.amount) for fault in faults if fault.name == name), default=0)
