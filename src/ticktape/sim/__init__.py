"""The room `sim`: venues that speak the real protocol, with faults and a private ground truth.

Nothing here may make a client see what the real venue would never put on the wire, unless a
fault was asked for by name.

    families            what each path carries: stocks, crypto, options or news
    states, states_v1   what one connection may say and what it is answered (pure)
    slots               who holds a connection (pure)
    tape                what happened, in order; recorded.py reads it, generate*.py make it up
    layouts             the messages, key by key; jsontext.py and packed.py print them
    wire_v2, wire_v1    rows of a tape -> the bytes of the two protocols
    orderbooks          whole books for who joins late
    lane                those bytes cut into WebSocket frames for one subscription
    pace                when a row is due
    faults              what shall go wrong, and where; schedule.py says which is next
    spoiling, brakes    what faults make of a frame, and of the pace
    muting              which symbols are not sent for a while
    leavers             who hears for a while what it has unsubscribed
    tricks              what faults make of the tape itself, before it plays; altering.py helps
    truth               what was put on which connection, when
    connection, stream, server   the I/O around them

The above is Alpaca. The package `mt5` is a MetaTrader 5 terminal and shares nothing with it.
"""

from ticktape.sim.config import Program, SimConfig
from ticktape.sim.faults import FAULTS, Fault, parse_faults
from ticktape.sim.generate import generate_family, generate_tape
from ticktape.sim.recorded import read_tape, shipped_tape
from ticktape.sim.server import AlpacaSim
from ticktape.sim.tape import Tape
from ticktape.sim.truth import Truth, read_truth

__all__ = [
    "FAULTS",
    "AlpacaSim",
    "Fault",
    "Program",
    "SimConfig",
    "Tape",
    "Truth",
    "generate_family",
    "generate_tape",
    "parse_faults",
    "read_tape",
    "read_truth",
    "shipped_tape",
]
