"""What a fault makes of one frame; pure: messages in, the bytes for the socket out."""

import re
from typing import NamedTuple

from ticktape.sim import framing
from ticktape.sim.faults import Fault
from ticktape.sim.lane import Lane, Wire

# MessagePack never uses it: whoever meets it knows that the message is broken.
NEVER_USED = b"\xc1"
# A quote in a string has a backslash before it, one that opens a string has a mark.
_COLON_AFTER_KEY = re.compile(rb'(?<=\w"):')


class Spoilt(NamedTuple):
    """A frame on the wire. `unreadable` is its payload when no message of it can be read."""

    content: bytes
    whole: bool = True
    unreadable: bytes = b""


def spoil(fault: Fault, lane: Lane, wire: Wire, messages: list[bytes], target: int) -> Spoilt:
    """Return the frame of `messages` with the fault in it, or in its message `target`."""
    messages = list(messages)
    if fault.name in ("huge", "unknown_field"):
        padding = "x" * (int(fault.amount) if fault.value else 1)
        messages[target] = wire.with_field(messages[target], "note", padding)
    elif fault.name == "corrupt":
        messages[target] = corrupted(messages[target], fault.row or 0)
    (payload,) = lane.payloads(messages)
    content = framing.frame(payload, wire.opcode)
    match fault.name:
        case "fragment":
            return Spoilt(framing.fragments(payload, wire.opcode, int(fault.amount)))
        case "close_mid_frame":
            return Spoilt(content[: len(content) // 2], whole=False)
        case "corrupt":
            return Spoilt(content, whole=False, unreadable=payload)
    return Spoilt(content)


def corrupted(message: bytes, number: int) -> bytes:
    """Return the message with one byte changed, so that no decoder can read it.

    Of JSON a colon after a key becomes a semicolon, the `number`-th or so: the text stays ASCII,
    for a text frame that is no UTF-8 would end the connection, and not cost only itself.
    """
    if not message.startswith(b"{"):
        return NEVER_USED + message[1:]
    colons = [found.start() for found in _COLON_AFTER_KEY.finditer(message)]
    place = colons[number % len(colons)]
    return message[:place] + b";" + message[place + 1 :]
