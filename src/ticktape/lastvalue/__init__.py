"""The last-value table: what each (feed, symbol) last traded, quoted and barred, for any process.

    writer     records -> the newest per cell, forward only, conflated per batch
    reader     a cell -> LastValue; new symbols and new files are followed
    snapshot   all cells -> NumPy, Arrow
    layout     the bytes, drawn
    mapfile    real zeros, heads, and the seqlock with its CRC
    statistics what the writer counted

The file is a cache: it is made anew when in doubt, and nothing is ever proved from it.
"""

from ticktape.lastvalue.layout import CAPACITY
from ticktape.lastvalue.reader import LastValue, LastValues
from ticktape.lastvalue.statistics import Statistics
from ticktape.lastvalue.writer import LastValueWriter

__all__ = ["CAPACITY", "LastValue", "LastValueWriter", "LastValues", "Statistics"]
