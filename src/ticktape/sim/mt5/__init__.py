"""A simulated MetaTrader 5 terminal: books, ticks and faults, and the truth about them.

The market is a schedule of states over time. Client processes compute the present state by
themselves, from the same files, so that there is no server that could be slow, and the truth is
exact to the nanosecond.

    description   what a terminal is; the text of its terminal64.exe
    control       its switches, in a mapped file
    schedule      when things happen
    books         the states of a recorded book; generated.py makes them up
    ticks         the ticks, in the broker's time
    world         one directory: all of the above at a moment
    terminal      who starts it, ends it, and takes its link down
    pipe, connection, inquiry, results   what a client sees: the functions of MetaTrader5
    holding       how a call takes its time
    faults, running   what goes wrong, and when
    truth         what could be seen, and when
    bridge        the functions over rpyc, as from a Windows Python under Wine
    as_module/    the folder that makes `import MetaTrader5` work
"""

from pathlib import Path

from ticktape.sim.mt5.connection import Connection
from ticktape.sim.mt5.control import Control
from ticktape.sim.mt5.description import ANOMALIES, BookDescription, Description, parse_book
from ticktape.sim.mt5.generated import state_number
from ticktape.sim.mt5.terminal import Terminal
from ticktape.sim.mt5.truth import Truth, ticks_truth, write_truth
from ticktape.sim.mt5.world import World, create_world

AS_MODULE = Path(__file__).parent / "as_module"
"""Put this folder on a client's PYTHONPATH."""

__all__ = [
    "ANOMALIES",
    "AS_MODULE",
    "BookDescription",
    "Connection",
    "Control",
    "Description",
    "Terminal",
    "Truth",
    "World",
    "create_world",
    "parse_book",
    "state_number",
    "ticks_truth",
    "write_truth",
]
