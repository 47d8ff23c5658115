"""Ledger: what came, what is missing, and whether it all adds up.

`proof` compares what the journals hold with what the tables hold, row by row; `gaps` folds gap
rows into gaps;
`verdict` is the certificate in words and numbers. Nothing here reads a journal or a table by
itself.
"""

from ticktape.ledger.gaps import GapInterval, fold_gaps
from ticktape.ledger.proof import KindCount, Proof
from ticktape.ledger.verdict import FeedVerdict, Verdict

__all__ = ["FeedVerdict", "GapInterval", "KindCount", "Proof", "Verdict", "fold_gaps"]
