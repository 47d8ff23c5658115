"""Calls the user's command when something goes wrong; nothing waits for it, and no shell is used.

A command that hangs, fails or floods is bounded here: recording must not notice it.
"""

import subprocess
from collections.abc import Mapping, Sequence

from ticktape import clock
from ticktape.recorder.process import ChildEvent

_SAME_AGAIN_NS = 60 * clock.NS_PER_S  # the same words are not said again for so long
_RUNNING_MAX = 4
_REMEMBERED_MAX = 256
_LIFE_NS = 30 * clock.NS_PER_S  # a command that takes longer is ended


_BAD_SESSIONS = {"down", "refused", "quiet", "stalled", "unlinked", "empty"}
_BAD_EVENTS = {"trouble", "decision_error", "failed", "hung"}


def alert_text(event: ChildEvent) -> str:
    """What an event is worth saying to someone who does not look; "" when it is not."""
    content = event.content
    if event.event in _BAD_EVENTS:
        return f"{event.child}: {content['words']}"
    if event.event == "session":
        said = content["content"]
        if said["event"] in _BAD_SESSIONS:
            return f"{event.child}: {said['event']}: {said.get('words', '')}"
        if said["event"] == "subscribed" and said.get("missing"):
            return f"{event.child}: not everything is subscribed: {said.get('words', '')}"
    if event.event == "unhealable":
        return f"{content['feed']}: a gap cannot be healed: {content['words']}"
    if event.event == "alarm" and content["open"]:
        return f"{event.child}: {content['words']}"
    if event.event == "exit" and content["code"] not in (0, None):
        return f"{event.child} ended with code {content['code']}"
    return ""


class Alerts:
    """The user's alert command.

    Args:
        command: program and arguments; the alert's text is added as the last one. Empty: no alerts.
        environment: what the command sees; it holds no keys.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._said_ns: dict[str, int] = {}
        self._running: list[tuple[subprocess.Popen[bytes], int]] = []
        self.called = 0
        self.left_out = 0

    def call(self, text: str) -> str:
        """Say `text` through the command; what went wrong with that, "" for nothing."""
        if not self._command:
            return ""
        self.reap()
        now_ns = clock.monotonic_ns()
        said_ns = self._said_ns.get(text)
        if said_ns is not None and now_ns - said_ns < _SAME_AGAIN_NS:
            return ""
        if len(self._running) >= _RUNNING_MAX:
            self.left_out += 1
            return ""
        if len(self._said_ns) >= _REMEMBERED_MAX:
            self._said_ns.clear()
        self._said_ns[text] = now_ns
        try:
            process = subprocess.Popen(
                [*self._command, text],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
            )
        except OSError as error:
            return f"the alert command {self._command[0]!r} cannot be run: {error.strerror}"
        self._running.append((process, now_ns))
        self.called += 1
        return ""

    def reap(self) -> None:
        """Forget commands that have ended, and end those that take too long."""
        now_ns = clock.monotonic_ns()
        still = []
        for process, started_ns in self._running:
            if process.poll() is not None:
                continue
            if now_ns - started_ns > _LIFE_NS:
                process.kill()
                process.wait()
                continue
            still.append((process, started_ns))
        self._running = still

    def close(self) -> None:
        """Give commands that still run a moment, then end them; may be called twice."""
        for process, _ in self._running:
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running = []
