"""ticktape records market data so that nothing is lost, makes it usable at once, and proves both.

The map, in the order the data goes:

    feeds/       a venue's bytes -> journal entries
    journal/     append-only log: the queue between all processes, and the raw store
    decoders/    entry bytes -> records, one per venue, pure
    lastvalue/   last-value table in a mapped file
    table/       records -> Delta tables, each row once; SQL over them and over the live tail
    decisions/   the user's callbacks, logged so that they can be replayed
    latency/     every entry's stamps through every stage; histograms; trace
    ledger/      counts and gaps: what came, what is missing
    sim/         venues that speak the real protocol, with faults and ground truth

    recorder.py  wires the rooms, live (the process tree)
    replay.py    wires the rooms, from a journal
    cli/         the verbs

The words are in `records` and `schemas`; `errors`, `clock` and `config` are the tools.
"""

__version__ = "0.1.0"
