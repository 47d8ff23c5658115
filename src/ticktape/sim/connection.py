"""One client's connection: the I/O around its state machine.

No bytes of a client may take the server down: what cannot be answered is dropped. A drop by the
server never sends a Close frame, as on the venue, unless the config wants one.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from ticktape import clock
from ticktape.sim import framing
from ticktape.sim.config import SimConfig
from ticktape.sim.lane import Burst, Lane, Wire
from ticktape.sim.states import Deadline, Drop, Machine, Send, SendBooks, Subscribe, Subscription
from ticktape.sim.truth import Place, Truth, now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ticktape.sim.states import Action

MESSAGE_BYTES_MAX = 16 << 20  # nobody subscribes to more; a client that tries is dropped
CLOSE_WAIT_S = 5.0  # for a client that does not read, until its buffered bytes are thrown away


class Venue(Protocol):
    """What a connection needs of the stream it is on."""

    path: str

    @property
    def ack_after(self) -> int:
        """How many messages come before the acknowledgement."""

    def subscribe(self, connection: "Connection", subscription: Subscription) -> None:
        """Let a connection hear this from now on."""

    def send_books(self, connection: "Connection", symbols: frozenset[str]) -> None:
        """Send the whole books of these symbols; `*` is every one."""

    def leave(self, connection: "Connection") -> None:
        """Forget a connection that is gone."""


class Connection(WSListener):
    """A connection and its lane of the tape; `frames` and `messages` count what it was sent.

    `wire` is how it speaks, from the upgrade to its end.
    """

    def __init__(
        self,
        number: int,
        config: SimConfig,
        venue: Venue,
        wire: Wire,
        machine: Machine,
        truth: Truth,
        wall: clock.WallClock,
        on_gone: Callable[["Connection"], None],
    ) -> None:
        self.number = number
        self.wire = wire
        self.machine = machine
        self.lane: Lane | None = None
        self.frames = 0
        self.messages = 0
        self.muted = False
        self.writable = asyncio.Event()
        self.writable.set()
        self._config = config
        self._venue = venue
        self._truth = truth
        self._wall = wall
        self._on_gone = on_gone
        self._transport: WSTransport | None = None
        self._parts: list[bytes] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._pong_timer: asyncio.TimerHandle | None = None
        self._said_goodbye = False
        self._late_acks: list[Send | SendBooks] = []

    # What the network tells.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Greet the client and start pinging it."""
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=1 << 18)
        headers: Mapping[str, str] = transport.request.headers
        self._later(self._config.ping_s, self._ping)
        self._act(self.machine.on_open(headers, clock.monotonic_ns()))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a piece of a message, a pong or a goodbye."""
        match frame.msg_type:
            case WSMsgType.PONG:
                if self._pong_timer is not None:
                    self._pong_timer.cancel()
                    self._pong_timer = None
            case WSMsgType.CLOSE:
                self._said_goodbye = True
                if self._config.proper_close:
                    transport.send_close(WSCloseCode.OK)
                transport.disconnect()
            case WSMsgType.TEXT | WSMsgType.BINARY | WSMsgType.CONTINUATION:
                self._parts.append(frame.get_payload_as_bytes())
                if sum(map(len, self._parts)) > MESSAGE_BYTES_MAX:
                    self.drop()
                elif frame.fin:
                    raw = b"".join(self._parts)
                    self._parts.clear()
                    self._act(self.machine.on_message(raw, clock.monotonic_ns()))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Give back what the connection held."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.writable.set()
        self.machine.on_close(clean=self._said_goodbye, now_ns=clock.monotonic_ns())
        self._venue.leave(self)
        self._on_gone(self)

    def pause_writing(self) -> None:
        """The client reads slower than we send."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.writable.set()

    # What the stream wants.

    @property
    def receiving(self) -> bool:
        """Whether data sent now would reach the client."""
        return self.lane is not None and not self.muted and self._alive()

    @property
    def buffered_bytes(self) -> int:
        """How much waits for the client to read."""
        transport = self._transport
        return transport.underlying_transport.get_write_buffer_size() if transport else 0

    def send_burst(self, burst: Burst, place: Place) -> None:
        """Put frames on the wire; the truth is noted by the caller, who knows the rows."""
        self.write(burst.content)
        self.frames += burst.frames
        self.messages += burst.messages
        if self._late_acks and self.messages >= self._venue.ack_after:
            self.acknowledge()

    def send_extra(self, payload: bytes) -> None:
        """Send a frame that stands in no tape; the truth is noted by the caller."""
        self.write(framing.frame(payload, self.wire.opcode))
        self.frames += 1

    def place(self) -> Place:
        """Return where the next frame stands, with the time as it is now."""
        return now(self._venue.path, self.number, self.frames, self._wall)

    def write(self, content: memoryview | bytes) -> None:
        """Put bytes on the wire as they are."""
        if self._alive() and self._transport is not None:
            self._transport.underlying_transport.write(content)

    def control(self, message: object) -> None:
        """Send a control message, alone in its frame."""
        self.write(framing.frame(self.wire.control(message), self.wire.opcode))

    def acknowledge(self) -> None:
        """Send the acknowledgements that a fault held back."""
        held, self._late_acks = self._late_acks, []
        self._act([*held])

    def drop(self) -> None:
        """Drop the connection after what was already sent; without a Close frame by default."""
        if not self._alive() or self._transport is None:
            return
        self.muted = True
        if self._config.proper_close:
            self._transport.send_close(WSCloseCode.OK)
        underlying = self._transport.underlying_transport
        self._transport.disconnect()
        self._later(CLOSE_WAIT_S, underlying.abort)

    def abort(self) -> None:
        """Drop the connection and all that waits in its buffer."""
        if self._transport is not None:
            self.muted = True
            self._transport.disconnect(graceful=False)

    def mute(self) -> None:
        """Send no more data; pings go on."""
        self.muted = True

    def fall_half_open(self) -> None:
        """Neither send nor read any more; the venue takes the slot back as from a dead client."""
        if self._transport is None:
            return
        self.muted = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._transport.underlying_transport.pause_reading()
        self.machine.on_close(clean=False, now_ns=clock.monotonic_ns())

    # What the machine wants.

    def _act(self, actions: "list[Action]") -> None:
        for action in actions:
            match action:
                case Send() | SendBooks() if self._late_ack_wanted(actions):
                    self._late_acks.append(action)
                case Send(message):
                    self.control(message)
                case SendBooks(symbols):
                    self._venue.send_books(self, symbols)
                case Deadline(after_s):
                    self._later(after_s, lambda: self._act(self.machine.on_deadline()))
                case Subscribe(subscription):
                    self._venue.subscribe(self, subscription)
                case Drop():
                    self.drop()

    def _late_ack_wanted(self, actions: "list[Action]") -> bool:
        subscribing = any(isinstance(action, Subscribe) for action in actions)
        return subscribing and self.messages < self._venue.ack_after

    def _ping(self) -> None:
        if self._transport is None:
            return
        self._transport.send_ping(b"")
        if self._pong_timer is None:
            self._pong_timer = self._later(self._config.pong_s, self.drop)
        self._later(self._config.ping_s, self._ping)

    def _later(self, after_s: float, act: Callable[[], object]) -> asyncio.TimerHandle:
        timer = asyncio.get_running_loop().call_later(after_s, act)
        self._timers = {held for held in self._timers if not _is_over(held)}
        self._timers.add(timer)
        return timer

    def _alive(self) -> bool:
        transport = self._transport
        return transport is not None and not transport.underlying_transport.is_closing()


def _is_over(timer: asyncio.TimerHandle) -> bool:
    return timer.cancelled() or timer.when() < asyncio.get_running_loop().time()
