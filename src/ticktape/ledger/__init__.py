"""Ledger: what came, what is missing, and whether it all adds up.

`proof` compares what the journals hold with what the tables hold, row by row; `witnesses` what
REST had with what the stream had; `gaps` folds gap rows into gaps; `verdict` says it of a run in
words and numbers, and `certificate` of a day, with `certificate_spans` (time) and
`certificate_chain` (digests); `counting` counts rows while they come, of texts that `coded` has as
numbers, and `identity` compares a stage with that; `watchdog` and its parts raise suspicions,
`feedwatch` tells it what a journal holds and `suspects` makes entries of them; `entries` is what
the ledger and the healer write down.
Nothing here reads a feed's journal or a table by itself; `memory` reads what the ledger wrote.
"""

from ticktape.ledger.certificate import Day, FeedDay, Standing, certify
from ticktape.ledger.certificate_chain import Part, chained, first_difference, part_of
from ticktape.ledger.gaps import GapInterval, base_feed, fold_gaps
from ticktape.ledger.proof import CountedPlace, KindCount, Place, Proof, sum_counts
from ticktape.ledger.verdict import FeedVerdict, Verdict
from ticktape.ledger.witnesses import KINDS_OF_REST, Lacking, Window, Witnesses

__all__ = [
    "KINDS_OF_REST",
    "CountedPlace",
    "Day",
    "FeedDay",
    "FeedVerdict",
    "GapInterval",
    "KindCount",
    "Lacking",
    "Part",
    "Place",
    "Proof",
    "Standing",
    "Verdict",
    "Window",
    "Witnesses",
    "base_feed",
    "certify",
    "chained",
    "first_difference",
    "fold_gaps",
    "part_of",
    "sum_counts",
]
