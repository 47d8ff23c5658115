"""ticktape records market data so that nothing is lost, makes it usable at once, and proves both.

    import ticktape as tt
    tape = tt.open("runs/demo")
    tape.sql("select symbol, count(*) from trades group by 1")

The map, in the order the data goes:

    feeds/       a venue's bytes -> journal entries
    journal/     append-only log: the queue between all processes, and the raw store
    decoders/    entry bytes -> records, one per venue, pure
    lastvalue/   last-value table in a mapped file
    table/       records -> Delta tables, each row once; SQL over them and over the live tail
    decisions/   the user's callbacks, logged so that they can be replayed
    latency/     every entry's stamps through every stage; histograms; trace
    ledger/      counts and gaps: what came, what is missing, and whether it adds up
    dashboard/   the page, the terminal view and the metrics
    sim/         venues that speak the real protocol, with faults and ground truth

    recorder/    wires the rooms, live: the process tree
    replay/      wires the rooms, from a journal: proof, latency, trace, queries, deciding again
    lab/         parallel layouts, at memory thresholds, measured
    live.py      a run followed as it is journaled
    tape.py      a run as Python sees it
    cli/         the verbs
    recording.py    a recorder, started from Python
    simulating.py   a simulated venue, started from Python

The words are in `records`, `schemas`, `mt5` and `polls`; `errors`, `clock` and `config/` are the
tools, and `directory` knows where everything of a run lies.

Importing this imports nothing else: a capture process must stay light.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ticktape.live import Follow
    from ticktape.recording import Run, record
    from ticktape.simulating import SimulatedVenue, simulate_alpaca
    from ticktape.tape import Tape, open

__version__ = "0.1.0"
__all__ = [
    "Follow",
    "Run",
    "SimulatedVenue",
    "Tape",
    "__version__",
    "open",
    "record",
    "simulate_alpaca",
]
_PLACES = {
    "Follow": "live",
    "Run": "recording",
    "SimulatedVenue": "simulating",
    "Tape": "tape",
    "open": "tape",
    "record": "recording",
    "simulate_alpaca": "simulating",
}


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"ticktape.{place}"), name)


def __dir__() -> list[str]:
    return __all__
