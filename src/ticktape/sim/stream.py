"""One path of the venue: a tape with one cursor, broadcast to whoever listens.

Who is away misses what is sent meanwhile, as at the real venue, unless the tape holds. The
cursor never goes back, and nothing is put on a wire that is not noted in the truth.
"""

import asyncio
from collections.abc import Callable
from random import Random

from ticktape import clock
from ticktape.clock import NS_PER_S
from ticktape.sim import framing
from ticktape.sim.config import Program, SimConfig
from ticktape.sim.connection import Connection
from ticktape.sim.faults import Fault, Strikes
from ticktape.sim.lane import EncodedTape, Lane, Wire
from ticktape.sim.pace import Pace
from ticktape.sim.states import Subscription
from ticktape.sim.truth import Truth

BURST_ROWS = 512  # about 64 kB of JSON: some socket reads, and the loop breathes between


class Stream:
    """A path: its tape, its listeners, its faults. `run` plays the tape once enough listen."""

    def __init__(
        self, path: str, program: Program, config: SimConfig, wire: Wire, truth: Truth
    ) -> None:
        self.path = path
        self.wire = wire
        self.messages = 0
        self.frames = 0
        self.ended = asyncio.Event()
        self.started = asyncio.Event()
        self._config = config
        self._tape = program.tape
        self._speed = config.speed if program.speed is None else program.speed
        self._passes = config.passes if program.passes is None else program.passes
        self._truth = truth
        self._listeners: list[Connection] = []
        self._changed = asyncio.Event()
        self._encoded = EncodedTape(self._tape, wire)
        self._lanes: dict[tuple[tuple[str, frozenset[str]], ...], Lane] = {}
        self._cursor = 0
        self._played = 0
        self._sessions = 0
        self._slow_s = 0.0
        self._pause_s = 0.0
        self._random = Random(config.seed)
        mine = [fault for fault in config.faults if fault.path in ("", path)]
        self._faults = [fault for fault in mine if fault.strikes in _PLACED]
        self._before_ack = _value(mine, "data_before_ack")
        self._again = _value(mine, "duplicate_after_reconnect")

    @property
    def rows(self) -> int:
        """How many rows one pass of the tape has."""
        return len(self._tape)

    @property
    def ack_after(self) -> int:
        """How many messages a connection gets before its subscription is acknowledged."""
        return 0 if self.ended.is_set() else self._before_ack

    # Who listens.

    def subscribe(self, connection: Connection, subscription: Subscription) -> None:
        """Let a connection hear this from the next row on."""
        wanted = {channel: names for channel, names in subscription.items() if names}
        newcomer = connection not in self._listeners
        if not wanted:
            connection.lane = None
        else:
            self._encoded.warm()
            connection.lane = self._lane(wanted)
            if newcomer:
                self._listeners.append(connection)
                self._sessions += 1
                self._send_again(connection)
            self._forget_unused_lanes()
        self._changed.set()

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        if connection in self._listeners:
            self._listeners.remove(connection)
        self._changed.set()

    def _lane(self, wanted: Subscription) -> Lane:
        key = tuple(sorted(wanted.items(), key=lambda item: item[0]))
        if key not in self._lanes:
            self._lanes[key] = Lane(self._encoded, wanted, self._config.batch)
        return self._lanes[key]

    def _forget_unused_lanes(self) -> None:
        used = [connection.lane for connection in self._listeners]
        self._lanes = {key: lane for key, lane in self._lanes.items() if lane in used}

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
                self._change_tape(EncodedTape(tape, self.wire))
            self._truth.note_tape(self.path, number, tape)
            await self._play(started_ns)
            self._played += len(tape)
            number += 1
        for connection in self._receiving():
            connection.acknowledge()
        self.ended.set()
        on_end(self)

    def _change_tape(self, encoded: EncodedTape) -> None:
        self._encoded = encoded
        subscriptions = list(self._lanes)
        self._lanes = {key: Lane(encoded, dict(key), self._config.batch) for key in subscriptions}
        for connection in self._listeners:
            if connection.lane is not None:
                connection.lane = self._lane(connection.lane.subscription)
        self._cursor = 0

    async def _play(self, started_ns: int) -> None:
        tape, config = self._encoded.tape, self._config
        pace = Pace(
            tape.due_ns,
            random=self._random,
            speed=self._speed,
            rate=config.rate,
            jitter_ms=config.jitter_ms,
        )
        pace.start(clock.monotonic_ns(), self._cursor)
        while self._cursor < len(tape):
            if await self._paused(pace):
                pace.start(clock.monotonic_ns(), self._cursor)
            now_ns = clock.monotonic_ns()
            self._arm_timed_faults((now_ns - started_ns) / NS_PER_S)
            due = self._whole_frames(pace.rows_due(now_ns))
            stop = min(due, self._burst_end(), self._next_fault())
            if self._slow_s:
                stop = min(stop, self._frame_end(self._cursor))
            if stop > self._cursor:
                self._broadcast(stop)
            self._strike()
            await self._breathe(pace)

    async def _paused(self, pace: Pace) -> bool:
        """Wait while the tape holds; return whether it did."""
        held = False
        if self._pause_s:
            pause_s, self._pause_s, held = self._pause_s, 0.0, True
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
        await asyncio.sleep(self._slow_s)
        end = self._frame_end(self._cursor) - 1
        if end > 0 and self._cursor < len(self._encoded.tape):
            wait_s = pace.wait_s(end, clock.monotonic_ns())
            if wait_s > 0:
                await self._sleep(wait_s)

    async def _sleep(self, wait_s: float) -> None:
        # A tape may be silent for minutes; faults by time and leavers must still be seen.
        await asyncio.sleep(min(wait_s, 0.25 if self._timed_faults() else 1.0))

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._changed.clear()
            await self._changed.wait()

    def _whole_frames(self, due: int) -> int:
        total = len(self._encoded.tape)
        return due if due >= total else due - due % self._config.batch

    def _burst_end(self) -> int:
        batch = self._config.batch
        return (self._cursor // batch + max(1, BURST_ROWS // batch)) * batch

    def _frame_end(self, row: int) -> int:
        batch = self._config.batch
        return min((row // batch + 1) * batch, len(self._encoded.tape))

    # Sending.

    def _broadcast(self, stop: int) -> None:
        for connection in self._receiving():
            self._send(connection, self._cursor, stop)
            if self._too_slow(connection):
                connection.control(self.wire.error(407))
                connection.abort()
        self._cursor = stop

    def _too_slow(self, connection: Connection) -> bool:
        unbounded = self._speed == 0 and self._config.rate == 0
        return not unbounded and connection.buffered_bytes > self._config.buffer_bytes

    def _send(self, connection: Connection, start: int, stop: int, fault: str = "") -> None:
        lane = connection.lane
        if lane is None:
            return
        place = connection.place()
        bursts = lane.burst(start, stop)
        count = sum(burst.messages for burst in bursts)
        if count:
            self._truth.rows(place, lane, start, stop, count, played=self._played, fault=fault)
        for burst in bursts:
            connection.send_burst(burst, place)
            self._count(burst.messages, burst.frames)

    def _count(self, messages: int, frames: int) -> None:
        self.messages += messages
        self.frames += frames

    # Faults.

    @property
    def _spoilt_rows(self) -> int:
        return self._config.batch if self.wire.joins else 1

    def _timed_faults(self) -> list[Fault]:
        return [fault for fault in self._faults if fault.at_s is not None]

    def _arm_timed_faults(self, elapsed_s: float) -> None:
        for place, fault in enumerate(self._faults):
            if fault.at_s is not None and elapsed_s >= fault.at_s:
                row = self._played + self._cursor
                row += 1 if fault.strikes is Strikes.IN_FRAME else 0
                self._faults[place] = Fault(
                    name=fault.name, code=fault.code, row=row, path=fault.path, value=fault.value
                )

    def _stop_row(self, fault: Fault) -> int:
        """Return the row of this pass up to which the tape may play before `fault` strikes."""
        if fault.row is None:
            return len(self._encoded.tape)
        row = fault.row - self._played
        if fault.strikes is Strikes.IN_FRAME:
            return (row - 1) - (row - 1) % self._spoilt_rows
        return row

    def _next_fault(self) -> int:
        stops = [self._stop_row(fault) for fault in self._faults]
        return max(self._cursor, min(stops, default=len(self._encoded.tape)))

    def _strike(self) -> None:
        for fault in list(self._faults):
            if fault.row is not None and self._stop_row(fault) <= self._cursor:
                if fault.strikes is Strikes.IN_FRAME and self._cursor >= len(self._encoded.tape):
                    continue  # its message comes with the next pass
                self._faults.remove(fault)
                if fault.strikes is Strikes.IN_FRAME:
                    self._spoil_frame(fault)
                else:
                    self._strike_after(fault)

    def _strike_after(self, fault: Fault) -> None:
        if fault.name == "slow":
            self._slow_s = fault.amount / 1000
        elif fault.name == "silence":
            self._pause_s = fault.amount
        for connection in self._receiving():
            match fault.name:
                case "disconnect":
                    connection.drop()
                case "mute":
                    connection.mute()
                case "half_open":
                    connection.fall_half_open()
                case "error":
                    connection.control(self.wire.error(fault.code))
                case "malformed":
                    self._send_extra(connection, fault, self.wire.malformed())
                case "unknown_type":
                    self._send_extra(connection, fault, self.wire.unknown(int(fault.amount)))

    def _send_extra(self, connection: Connection, fault: Fault, payload: bytes) -> None:
        self._truth.extra(connection.place(), fault.name, payload.decode())
        connection.write(framing.frame(payload, self._encoded.opcode))
        connection.frames += 1
        self._count(1, 1)

    def _spoil_frame(self, fault: Fault) -> None:
        """Send the frame of the fault's message to each listener, spoilt as the fault says."""
        start, stop = self._cursor, self._cursor + 1
        if self.wire.joins:
            stop = self._frame_end(start)
        cut = False
        for connection in self._receiving():
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
        if fault.name in ("huge", "unknown_field"):
            padding = "x" * (int(fault.amount) if fault.value else 1)
            messages[target] = self.wire.with_field(messages[target], "note", padding)
        place, opcode = connection.place(), self._encoded.opcode
        payloads = lane.payloads(messages)
        (payload,) = payloads
        content = framing.frame(payload, opcode)
        if fault.name == "fragment":
            content = framing.fragments(payload, opcode, int(fault.amount))
        cut = fault.name == "close_mid_frame"
        if cut:
            content = content[: len(content) // 2]
        self._truth.rows(
            place,
            lane,
            start,
            stop,
            len(messages),
            played=self._played,
            fault=fault.name,
            whole=not cut,
        )
        connection.write(content)
        connection.frames += 1
        connection.messages += len(messages)
        if cut:
            connection.drop()
        else:
            self._count(len(messages), 1)
        return cut


_PLACED = (Strikes.AFTER, Strikes.IN_FRAME)


def _value(faults: list[Fault], name: str) -> int:
    return max((int(fault.amount) for fault in faults if fault.name == name), default=0)
