"""The lab's own terminal: a world in a cell's folder, and the truth about it afterwards."""

from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from ticktape.lab.source import SIM_LEVELS, SIM_RATE, SIM_SYMBOL, WORLD
from ticktape.sim.mt5 import BookDescription, Description, Terminal, Truth


class SimulatedTerminal:
    """A terminal whose book changes at known times; a context manager.

    It is made of files alone: each client knows the market's schedule, so that no process serves
    them, none is slow, and the truth is exact.
    """

    def __init__(self, folder: Path, seed: int, *, levels: int = SIM_LEVELS) -> None:
        book = BookDescription(kind="generated", levels=levels, rate=SIM_RATE)
        # No latency: what a call takes is the layouts' own time then.
        description = Description(books={SIM_SYMBOL: book}, seed=seed, latency_us=0)
        self.terminal = Terminal(folder / WORLD, description)
        self.terminal.start()

    def states(self, from_ns: int, to_ns: int) -> npt.NDArray[np.int64]:
        """Numbers of the states that came in (from_ns, to_ns]."""
        truth = Truth(self.terminal.world, SIM_SYMBOL, to_ns)
        first, stop = np.searchsorted(truth.mono_ns, [from_ns, to_ns], "right")
        found: npt.NDArray[np.int64] = truth.state[first:stop]
        return found

    def __enter__(self) -> "SimulatedTerminal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.terminal.close()
