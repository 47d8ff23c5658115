"""Does the memory of any process grow while it records?

Workload: 5,000 generated trades a second, 1 per frame, recorded by the whole process tree for 20 s;
or --rate, --batch and --seconds. The memory that each process has for itself, once a second: its
peak, its median in each third of the time, and its slope over the last two thirds: in a short run
that still shows caches that fill. Floor: none; flat is 0.
What would change our mind: a slope that stays above 0 over ten minutes.
"""

from bench import options
from bench.sustained import sustained

_RATE = 5_000


def answer(rounds: int) -> list[dict[str, object]]:
    """Lag, and memory by process; one run, however many rounds."""
    del rounds
    return sustained(options.rate(_RATE), options.batch(1), options.seconds(20))
