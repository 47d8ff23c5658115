"""Do 200,000 trades a second go through everything for as long as one likes?

Workload: generated trades of 20 symbols at 50 per frame from `ticktape sim alpaca --rate`, into the
whole process tree with a strategy, for 60 s; or --rate, --batch and --seconds (600 for the page),
simulator included on this machine. It is four times what the whole US market brings at its peak.
The lag of each stage, in all and in each third of the time; what was dropped; CPU and memory of
each process: its peak, its median in each third, and its slope over the last two thirds (what a
batch takes comes and goes: the line leans by chance). Floor: none.
What would change our mind: a lag or memory that grows from third to third, a drop.
"""

from bench import options
from bench.sustained import sustained

_RATE = 200_000


def answer(rounds: int) -> list[dict[str, object]]:
    """Lag by stage, CPU and memory by process; one run, however many rounds."""
    del rounds
    return sustained(options.rate(_RATE), options.batch(50), options.seconds(60))
