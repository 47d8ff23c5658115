"""The last-value table: the newest trade, quote, bar, book, … of each (feed, symbol).

    writer     records -> the newest per cell, forward only, conflated per batch
    drafts     the same of records that are not made yet
    reader     cells -> LastValue; new symbols and new files are followed
    value      LastValue: one symbol at one moment
    images     books' whole images, in a file of their own
    snapshot   all cells -> NumPy, Arrow
    layout     the bytes, drawn
    kept       a cell as the writer knows it
    cells      what a cell holds of each kind
    books      what a cell and an image hold of a polled book
    orderbooks what they hold of an order book that is put together from changes
    mapfile    real zeros, heads, and the seqlock with its CRC
    statistics what the writer counted

A file is a cache: it is made anew when in doubt, and nothing is ever proved from it.
"""

from ticktape.lastvalue.books import BookTop
from ticktape.lastvalue.layout import CAPACITY
from ticktape.lastvalue.reader import LastValues
from ticktape.lastvalue.statistics import Statistics
from ticktape.lastvalue.value import LastValue
from ticktape.lastvalue.writer import LastValueWriter

__all__ = ["CAPACITY", "BookTop", "LastValue", "LastValueWriter", "LastValues", "Statistics"]
