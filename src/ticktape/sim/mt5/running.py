"""A terminal that runs: its faults at their times, and word of each recording that is through."""

import heapq
from collections.abc import Callable

from ticktape.sim.mt5.control import LEAD_NS
from ticktape.sim.mt5.description import RECORDED
from ticktape.sim.mt5.faults import Fault
from ticktape.sim.mt5.schedule import NS_PER_S
from ticktape.sim.mt5.terminal import Terminal

LOOK_NS = NS_PER_S // 20  # how late a tape's end is told, and a signal heard, at most
NS_PER_MS = 1_000_000

Say = Callable[[dict[str, object]], None]


class Run:
    """One run over a terminal that was just started; call `turn` until it says that it is over.

    `linger_ns` ends it so long after the last recording; with None it never ends by itself.
    """

    def __init__(
        self, terminal: Terminal, faults: tuple[Fault, ...], say: Say, linger_ns: int | None = None
    ) -> None:
        self._terminal = terminal
        self._world = terminal.world
        self._say = say
        self._linger_ns = linger_ns
        self._over_ns: int | None = None
        self._through: set[str] = set()
        self._steps: list[tuple[int, int, str]] = []  # when, its length, and what to do
        begin_ns = self._world.control.start_mono_ns
        for fault in faults:
            at_ns = begin_ns + fault.at_ns
            heapq.heappush(self._steps, (at_ns, fault.length_ns or 0, fault.name))
            if fault.length_ns is not None and fault.name in _ENDS:
                heapq.heappush(self._steps, (at_ns + fault.length_ns, 0, _ENDS[fault.name]))

    def turn(self) -> float | None:
        """Do what is due; return the seconds until there is more, None when the run is over."""
        now_ns = self._world.clock.monotonic_ns()
        # A change of what is shown is set ahead of its moment, so that the truth is exact.
        while self._steps and self._steps[0][0] <= now_ns + LEAD_NS:
            at_ns, length_ns, name = heapq.heappop(self._steps)
            self._do(name, at_ns, length_ns)
            self._say({"event": "fault", "name": name, "mono_ns": at_ns})
        if self._tell_ends() and self._linger_ns is not None and self._over_ns is None:
            self._over_ns = now_ns + self._linger_ns
        if self._over_ns is not None and now_ns >= self._over_ns:
            return None
        next_ns = min([now_ns + LOOK_NS, *(step[0] - LEAD_NS for step in self._steps[:1])])
        return max(next_ns - now_ns, 0) / NS_PER_S

    def _do(self, name: str, at_ns: int, length_ns: int) -> None:
        terminal, control = self._terminal, self._world.control
        match name:
            case "stall":
                control.stall_next_ms = length_ns // NS_PER_MS
            case "hang":
                terminal.hang()
            case "hang_ends":
                terminal.clear_hang()
            case "kill":
                terminal.end()
            case "starts_again":
                terminal.start()
                self._through.clear()
            case "disconnect":
                terminal.disconnect(at_ns)
            case "reconnect":
                terminal.reconnect(at_ns)
            case "logout" | "login":
                control.logged_in = name == "login"

    def _tell_ends(self) -> bool:
        """Tell of recordings that are through; whether all are, and there are any."""
        world, control = self._world, self._world.control
        if not control.alive:
            return False
        rest = 0
        elapsed_ns = world.clock.monotonic_ns() - control.start_mono_ns
        for symbol, described in world.description.books.items():
            book = world.book(symbol)
            if described.kind != RECORDED or book is None or symbol in self._through:
                continue
            if book.is_through(elapsed_ns):
                self._through.add(symbol)
                count = book.states_max
                self._say(
                    {"event": "tape_end", "symbol": symbol, "start": control.start, "states": count}
                )
            else:
                rest += 1
        return bool(self._through) and not rest


_ENDS = {
    "hang": "hang_ends",
    "kill": "starts_again",
    "disconnect": "reconnect",
    "logout": "login",
}
