"""A venue and the wires to it, with the private truth of what was sent and when it arrived.

Above it everything is the program's own, from the listener that the WebSocket library calls; the
library itself is played here.
"""

import asyncio
import itertools
import json
import re
from collections import deque

from picows import WSCloseCode, WSMsgType
from simulation_time import SECOND_NS

from ticktape.feeds import socket as real_socket

SYMBOLS = ("AAPL", "MSFT", "IVOG")
KEY, SECRET, PROXY_SECRET = "PK-PLANTED-KEY-01", "planted-secret-02", "planted-password-03"
SECRETS = (KEY.encode(), SECRET.encode(), PROXY_SECRET.encode())
PROXY = f"http://user:{PROXY_SECRET}@proxy.example:3128"
_MESSAGE = b'{"T":"t","S":"%s","i":%d,"x":"V","p":10.5,"s":%d,"c":["@"],"t":"%s","z":"C","n":%d}'
_TIME = b"2013-10-08T19:59:00.123456789Z"
_SENT = re.compile(rb'"i":(\d+),"x":"V","p":10.5.*?"n":(\d+)\}')


def messages_in(payload):
    """(connection, id) of each message in a frame of the venue's."""
    return [(int(number), int(message)) for message, number in _SENT.findall(payload)]


class Message:
    """One message of the venue: when it was made, and when it arrived or would have."""

    __slots__ = ("arrived_ns", "id", "sent_ns", "symbol")

    def __init__(self, number, symbol, sent_ns, arrived_ns):
        self.id = number
        self.symbol = symbol
        self.sent_ns = sent_ns
        self.arrived_ns = arrived_ns


class Frame:
    """What the library shows of a frame."""

    def __init__(self, kind, payload, *, last):
        self.msg_type = kind
        self.fin = True
        self.last_in_buffer = last
        self._payload = payload

    def get_payload_as_bytes(self):
        return self._payload

    def get_close_code(self):
        return WSCloseCode.GOING_AWAY

    def get_close_message(self):
        return b"bye"


class Venue:
    """Makes messages all the time, and sends them to whoever is subscribed.

    Args:
        world: time and timers.
        rng: of all that it does.
        pace_s: mean time between two bursts.
    """

    def __init__(self, world, rng, pace_s):
        self.world = world
        self.rng = rng
        self.messages = {}  # (connection, id) -> Message; connection 0: sent to nobody
        self.delivered = []  # payloads of data as the listener got them, of the process that runs
        self.connection = None
        self.refuses_until_ns = self.slow_until_ns = 0
        self.is_calm = False
        self._pace_s = pace_s
        self._ids = itertools.count(1)
        self._numbers = itertools.count(1)
        self._recent = deque(maxlen=12)
        self._due_ns = 0
        self._latency_ns = 2_000_000

    def open(self):
        self._later_burst()

    # What it sends.

    def _later_burst(self):
        self.world.later(self.rng.expovariate(1 / self._pace_s), self._burst)

    def _burst(self):
        rng = self.rng
        if rng.random() < 0.05:
            self._latency_ns = int(rng.choice([0.1, 1, 5, 40]) * 1_000_000)
        made = [
            (next(self._ids), rng.choice(SYMBOLS)) for _ in range(rng.choice([1, 1, 1, 2, 3, 8]))
        ]
        if rng.random() < 0.2:
            rng.shuffle(made)
        self._recent.extend(made)
        self._send(made)
        self._later_burst()

    def due_ns(self):
        """When what is sent now arrives; nothing overtakes."""
        # No machine reads twice within a microsecond.
        self._due_ns = max(self._due_ns + 1000, self.world.clocks.now_ns + self._latency_ns)
        return self._due_ns

    def _send(self, made, *, again=False):
        connection, now_ns = self.connection, self.world.clocks.now_ns
        heard = [each for each in made if connection is not None and connection.hears(each[1])]
        unheard = [each for each in made if each not in heard]
        if unheard and not again:
            due_ns = self.due_ns()
            for number, symbol in unheard:
                self.messages[0, number] = Message(number, symbol, now_ns, due_ns)
            if connection is not None:
                # It would have come by this wire, behind whatever holds that up.
                connection.emit(_frame(unheard, 0), due_ns, None)
        while heard:
            count = self.rng.choice([1, 2, 5])
            part, heard = heard[:count], heard[count:]
            due_ns = self.due_ns()
            for number, symbol in part:
                message = Message(number, symbol, now_ns, due_ns)
                self.messages[connection.number, number] = message
            connection.emit(_frame(part, connection.number), due_ns)

    def repeat(self):
        """Send some of the last messages again, to who has just come back."""
        heard = [each for each in self._recent if self.connection.hears(each[1])]
        self._send(heard[-self.rng.randint(1, 12) :], again=True)

    # Who comes.

    async def connect(self, config, on_read, on_open):
        """In place of the program's own `connect`."""
        now_ns = self.world.clocks.now_ns
        wait_s = self.rng.choice([0.002, 0.05, 0.3])
        if now_ns < self.slow_until_ns:
            wait_s = self.rng.choice([0.5, 2.0, 9.0])
        await asyncio.sleep(min(wait_s, config.connect_timeout_s))
        if wait_s > config.connect_timeout_s:
            raise real_socket._translated(config, TimeoutError())
        if self.world.clocks.now_ns < self.refuses_until_ns or self.connection is not None:
            raise real_socket._translated(config, OSError(111, f"refused through {config.proxy}"))
        connection = Connection(self, next(self._numbers), config)
        listener = real_socket.Listener(on_read, on_open, config.ping_s)
        self.connection = connection
        connection.begin(listener)
        return listener.socket

    def answer_s(self):
        """How long it thinks about a request."""
        if self.world.clocks.now_ns < self.slow_until_ns:
            return self.rng.choice([0.2, 3.0])
        return 0.001


def _frame(part, connection):
    return (
        b"["
        + b",".join(
            _MESSAGE % (symbol.encode(), number, 100, _TIME, connection) for number, symbol in part
        )
        + b"]"
    )


class Connection:
    """One connection: the venue's end, the wire, and the library's transport at our end."""

    def __init__(self, venue, number, config):
        self.venue = venue
        self.world = venue.world
        self.number = number
        self.is_gone = False  # our end: nothing comes any more
        self.is_cut = False  # the wire: nothing goes through any more, and nobody knows
        self._symbols = frozenset()
        self._wire = deque()  # (due ns, kind, payload); kind None: it was never sent
        self._stalled_until_ns = 0
        self._ping_ns = int(config.ping_s * SECOND_NS)
        self._pong_timeout_s = config.pong_timeout_s
        self._heard_ns = self.world.clocks.now_ns
        self._listener = None
        self._ended = self.world.loop.create_future()
        self._error = None

    def begin(self, listener):
        self._listener = listener
        listener.on_ws_connected(self)
        self._say({"T": "success", "msg": "connected"})
        if self._ping_ns:
            self.world.later(self._ping_ns / SECOND_NS, self._ping)

    def hears(self, symbol):
        return symbol in self._symbols

    # The venue's end.

    def _say(self, message, kind=WSMsgType.TEXT):
        self.emit(json.dumps([message]).encode(), self.venue.due_ns(), kind)

    def emit(self, payload, due_ns, kind=WSMsgType.TEXT):
        if not self.is_cut:
            self._wire.append((due_ns, kind, payload))
            now_ns = self.world.clocks.now_ns
            self.world.later((due_ns - now_ns) / SECOND_NS, self.deliver)
        else:
            self._lose(payload)

    def _hear(self, payload):
        if self.is_cut or self.is_gone:
            return
        message = json.loads(payload)
        self.world.later(self.venue.answer_s(), lambda: self._answer(message))

    def _answer(self, message):
        if self.is_cut or self.is_gone:
            return
        if message["action"] == "auth":
            assert (message["key"], message["secret"]) == (KEY, SECRET)
            if self.venue.rng.random() < 0.02 and not self.venue.is_calm:
                self._say({"T": "error", "code": 406, "msg": "connection limit exceeded"})
            else:
                self._say({"T": "success", "msg": "authenticated"})
        else:
            self._symbols = frozenset(message["trades"])
            is_early, repeats = self.venue.rng.random() < 0.1, self.venue.rng.random() < 0.5
            if is_early:
                self.venue.repeat()  # data before the answer
            self._say({"T": "subscription", "trades": sorted(self._symbols)})
            if repeats and not is_early:
                self.venue.repeat()

    # What happens to the wire.

    def stall(self, seconds):
        """Nothing comes for a while, then all of it."""
        self._stalled_until_ns = self.world.clocks.now_ns + int(seconds * SECOND_NS)
        self.world.later(seconds, self.deliver)

    def mute(self):
        """Nothing comes any more, and nobody is told."""
        self.is_cut = True

    def close_frame(self):
        """The venue closes, in good order."""
        if not self.is_cut:
            self._symbols = frozenset()
            self.emit(b"", self.venue.due_ns(), WSMsgType.CLOSE)

    def cut(self):
        """The network resets the connection: what is on the wire is lost."""
        self._error = ConnectionResetError(104, "reset by peer")
        self.end()

    # Our end.

    def deliver(self, *, early=False):
        """Hand on in one read what is due, or what comes next."""
        now_ns = self.world.clocks.now_ns
        if self.is_gone or self.is_cut or now_ns < self._stalled_until_ns:
            return
        due = []
        while self._wire and (early or self._wire[0][0] <= now_ns):
            due.append(self._wire.popleft())
            early = early and self.venue.rng.random() < 0.5
        for _, kind, payload in due:
            self._arrive(payload, now_ns)
            if kind is WSMsgType.TEXT:
                self.venue.delivered.append(payload)
        due = [each for each in due if each[1] is not None]
        self._heard_ns = now_ns if due else self._heard_ns
        for index, (_, kind, payload) in enumerate(due):
            if self.is_gone:
                return
            frame = Frame(kind, payload, last=index == len(due) - 1)
            if not self._listener.is_user_specific_pong(frame):
                self._listener.on_ws_frame(self, frame)

    def _arrive(self, payload, now_ns):
        for key in messages_in(payload):
            self.venue.messages[key].arrived_ns = now_ns

    def _lose(self, payload):
        for key in messages_in(payload):
            message = self.venue.messages[key]
            message.arrived_ns = max(message.arrived_ns, self.world.clocks.now_ns)

    def _ping(self):
        if self.is_gone:
            return
        now_ns = self.world.clocks.now_ns
        if now_ns - self._heard_ns >= self._ping_ns:
            if not self.is_cut:
                self.emit(b"", self.venue.due_ns(), WSMsgType.PONG)
            asked_ns = now_ns
            self.world.later(self._pong_timeout_s, lambda: self._want_pong(asked_ns))
        self.world.later(self._ping_ns / SECOND_NS, self._ping)

    def _want_pong(self, asked_ns):
        if self._heard_ns < asked_ns:
            self.end()

    def end(self, *, tell=True):
        """There is no connection any more, at either end; what did not arrive is lost."""
        if self.is_gone:
            return
        self.is_gone = self.is_cut = True
        self._symbols = frozenset()
        if self.venue.connection is self:
            self.venue.connection = None
        for _, _, payload in self._wire:
            self._lose(payload)
        self._wire.clear()
        if tell:
            self._listener.on_ws_disconnected(self)
        if not self._ended.done():
            self._ended.set_result(None)

    # The library's transport.

    def send(self, kind, payload):
        self.world.later(0.001, lambda: self._hear(payload))

    def send_pong(self, payload):
        pass

    def send_close(self, code):
        self.world.later(0.01, self.close_frame)

    def disconnect(self, *, graceful=True):
        if not self.is_gone:
            self.world.later(0.0, self.end)

    async def wait_disconnected(self):
        await asyncio.shield(self._ended)
        if self._error is not None:
            raise self._error
