"""Records -> Delta tables, each row exactly once; SQL over them and over the live tail.

    store.py     one Delta table per kind, committed with the journal's position
    files.py     one Parquet file: written, synced, described
    compact.py   few large files of many small ones        merging.py  one of them, proved
    soundness.py whether a power loss has hit the newest commit or a file
    dedup.py     which arrivals are the same trade again
    hashing.py   128 bits of identity and content per row
    builder.py   batches: journal blocks in, commits out
    query.py     the views and SQL        amend.py   cancels and corrections applied
    sources.py   which files a view reads              polled.py  two legs of a feed as one
    healed.py    what only REST has                    comparing.py  where REST may have more

The journal is the truth and a table can always be made again from it, so nothing here may guess:
what cannot be read is set aside and rebuilt, and a position is reported only when all its rows are
on the disk.
"""

from ticktape.table.builder import CommitResult, TableBuilder
from ticktape.table.compact import Compactor
from ticktape.table.dedup import DuplicateCount
from ticktape.table.query import connect, run_sql
from ticktape.table.store import SetAside, TableStore, Tally

__all__ = [
    "CommitResult",
    "Compactor",
    "DuplicateCount",
    "SetAside",
    "TableBuilder",
    "TableStore",
    "Tally",
    "connect",
    "run_sql",
]
