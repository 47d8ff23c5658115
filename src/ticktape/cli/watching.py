"""Watches a run from the terminal: state changes as lines, counters as one that renews itself."""

from typing import Any

from rich.live import Live
from rich.text import Text

from ticktape import clock
from ticktape.cli.figures import printable
from ticktape.cli.terminal import errors
from ticktape.recorder.process import ChildEvent
from ticktape.recorder.supervisor import Supervisor

_PLAIN_EVERY_NS = 10 * clock.NS_PER_S  # a line so often where there is no terminal
_SESSION_STYLES = {
    "subscribed": "green",
    "refused": "bold red",
    "down": "yellow",
    "quiet": "yellow",
    "stalled": "yellow",
    "unlinked": "yellow",
    "empty": "yellow",
    "linked": "green",
    "flowing": "green",
    "stopped": "dim",
}
# What the healer says of a gap; `healing` would be said again by what comes of it.
_HEALING = {
    "healed": "green",
    "unhealable": "bold red",
    "unsettled": "yellow",
    "waiting": "yellow",
}
_STYLES = {
    **dict.fromkeys(("trouble", "decision_error", "failed", "hung"), "bold red"),
    **dict.fromkeys(("changed", "mended", "state"), "green"),
    "restart": "yellow",
}


class Watcher:
    """Prints what a run reports; everything goes to standard error, results to standard output."""

    def __init__(self) -> None:
        self._live = Live(console=errors, refresh_per_second=4, transient=True)
        self._plain_at_ns = clock.monotonic_ns() + _PLAIN_EVERY_NS
        self._before: tuple[int, int] | None = None
        self._said = ""

    def hear(self, event: ChildEvent) -> None:
        """Say an event in words."""
        content = event.content
        if event.child == "config":
            self._said = ""  # who sends the signal again wants to be told again
        if event.event == "session":
            self._session(event.child, content["content"])
        elif event.event == "exit":
            if content["code"] not in (0, 4, 5):
                self._say(f"{event.child} ended with code {content['code']}", "yellow")
        elif event.event == "alarm":
            style = "yellow" if content["open"] else "green"
            self._say(content["words"], style, content.get("hint", ""))
        elif event.event in _HEALING and "feed" in content:
            said = f"{content['feed']}: {event.event}: {content['words']}"
            self._say(said, _HEALING[event.event], content.get("hint", ""))
        elif event.event in _STYLES:
            feed = event.child.removeprefix("capture-") if event.event == "changed" else event.child
            self._say(f"{feed}: {content['words']}", _STYLES[event.event], content.get("hint", ""))

    def _session(self, child: str, content: dict[str, Any]) -> None:
        event, feed = content["event"], child.removeprefix("capture-")
        words = content.get("words", "")
        if event in ("started", "connecting", "connected", "authenticated", "changed"):
            return
        if event == "subscribed":
            count = sum(len(symbols) for symbols in (content.get("channels") or {}).values())
            said = f"{feed}: subscribed, {count} channel-symbol pairs"
            gaps = [gap for gap in content.get("gaps") or [] if gap["to_ns"] and not gap["planned"]]
            for gap in gaps:
                said += f"; gap of {(gap['to_ns'] - gap['from_ns']) / 1e9:.3f} s: {gap['cause']}"
            if content.get("missing"):
                missing = "; ".join(f"{c}: {', '.join(s)}" for c, s in content["missing"].items())
                said += f"; NOT subscribed: {missing} ({words})"
        else:
            said = f"{feed}: {event}" + (f": {words}" if words else "")
        self._say(said, _SESSION_STYLES.get(event, ""), content.get("hint", ""))

    def _say(self, words: str, style: str, hint: str = "") -> None:
        moment = clock.iso_utc(clock.wall_now_ns())[11:23]
        # Of a traceback the last line says it; the whole stands in the child's log.
        words = words.strip().rpartition("\n")[2]
        if words == self._said:
            return  # a venue that stays away is not told of at every try
        self._said = words
        console = self._live.console
        console.print(Text(f"{moment} {printable(words)}", style=style))
        if hint:
            console.print(Text(f"             → {printable(hint)}", style="dim"))

    def show(self, supervisor: Supervisor) -> None:
        """Renew the line of counters."""
        if errors.is_terminal:
            if not self._live.is_started:
                self._live.start()
            self._live.update(Text(self._line(supervisor)))
        elif clock.monotonic_ns() >= self._plain_at_ns:
            self._plain_at_ns = clock.monotonic_ns() + _PLAIN_EVERY_NS
            errors.print(self._line(supervisor), markup=False)

    def _line(self, supervisor: Supervisor) -> str:
        said = supervisor.statistics()
        parts = []
        frames = 0
        for name, figures in said.items():
            if name.startswith("capture-") and figures:
                frames += figures["frames"]
                parts.append(f"{figures['feed']} {figures['state']}")
        if not parts:
            return "starting …"
        now_ns = clock.monotonic_ns()
        rate = 0.0
        if self._before is not None and now_ns > self._before[0]:
            rate = (frames - self._before[1]) * clock.NS_PER_S / (now_ns - self._before[0])
        if self._before is None or now_ns - self._before[0] > clock.NS_PER_S:
            self._before = (now_ns, frames)
        behind = {
            name: sum(figures.get("behind_bytes", {}).values())
            for name, figures in said.items()
            if not name.startswith("capture-")
        }
        lag = ", ".join(f"{name} {count / 1e6:.1f} MB" for name, count in behind.items() if count)
        text = f"{', '.join(parts)} · {frames:,} frames · {max(rate, 0):,.0f}/s"
        return text + (f" · behind: {lag}" if lag else "")

    def close(self) -> None:
        """Leave the terminal as it was; may be called twice."""
        self._live.stop()
