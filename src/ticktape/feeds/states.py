"""The states of a feed's session as one table; the picture in the docs is made from it."""

from enum import StrEnum

from ticktape.errors import ProtocolViolated


class SessionState(StrEnum):
    """Where a connection stands. Only `ready` means that data is coming."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    AUTHENTICATED = "authenticated"
    READY = "ready"
    DOWN = "down"
    REFUSED = "refused"
    STOPPED = "stopped"


TRANSITIONS: dict[SessionState, tuple[SessionState, ...]] = {
    SessionState.IDLE: (SessionState.CONNECTING, SessionState.STOPPED),
    SessionState.CONNECTING: (
        SessionState.CONNECTED,
        SessionState.DOWN,
        SessionState.REFUSED,
        SessionState.STOPPED,
    ),
    SessionState.CONNECTED: (
        SessionState.AUTHENTICATED,
        SessionState.DOWN,
        SessionState.REFUSED,
        SessionState.STOPPED,
    ),
    SessionState.AUTHENTICATED: (
        SessionState.READY,
        SessionState.DOWN,
        SessionState.REFUSED,
        SessionState.STOPPED,
    ),
    SessionState.READY: (
        SessionState.READY,  # the venue acknowledged a change
        SessionState.DOWN,
        SessionState.REFUSED,  # a plan can end while its data flows
        SessionState.STOPPED,
    ),
    SessionState.DOWN: (SessionState.CONNECTING, SessionState.STOPPED),
    SessionState.REFUSED: (SessionState.STOPPED,),
    SessionState.STOPPED: (),
}


def step(state: SessionState, to: SessionState) -> SessionState:
    """Go from one state to another.

    Raises:
        ProtocolViolated: the table has no such step.
    """
    if to not in TRANSITIONS[state]:
        raise ProtocolViolated(f"a session cannot go from {state} to {to}")
    return to


def picture() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    lines = ["stateDiagram-v2", "    [*] --> idle"]
    for state, following in TRANSITIONS.items():
        lines += [f"    {state} --> {to}" for to in following]
    return "\n".join([*lines, "    stopped --> [*]"])
