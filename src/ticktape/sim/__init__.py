"""The room `sim`: venues that speak the real protocol, with faults and a private ground truth.

Nothing here may make a client see what the real venue would never put on the wire, unless a
fault was asked for by name.

    states, states_v1   what one connection may say and what it is answered (pure)
    slots               who holds a connection (pure)
    tape                what happened, in order; recorded.py reads it, generate.py makes it up
    wire_v2, wire_v1    rows of a tape -> the bytes of the two protocols
    lane                those bytes cut into WebSocket frames for one subscription
    pace                when a row is due
    faults              what shall go wrong, and where
    truth               what was put on which connection, when
    connection, stream, server   the I/O around them

The above is Alpaca. The package `mt5` is a MetaTrader 5 terminal and shares nothing with it.
"""

from ticktape.sim.config import Program, SimConfig
from ticktape.sim.faults import FAULTS, Fault, parse_faults
from ticktape.sim.generate import generate_tape
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
    "generate_tape",
    "parse_faults",
    "read_tape",
    "read_truth",
    "shipped_tape",
]
