"""The page: a run as a browser sees it, from readers that the wiring hands over.

    sources   what the wiring gives: a sample of the run's state, and answers on demand
    standing  how the run stands, in words; pure
    events    the log of state changes, folded into feeds and history; pure
    timeline  rate, lag and latency per stage over time; pure
    disk      bytes so far, their rate, and when the disk is full; pure
    board     the newest state, and what of it a browser has not seen; pure
    guard     who may look: Host, Origin, token; pure
    gate      every request goes through it first
    assets    the files of the page, a fixed list
    asking    the one process that answers what costs time
    limits    connections, and how long they may say nothing
    server    the web server

It only reads. A browser gets state, never ticks: what it did not take in time is replaced by what
is newer, so that neither a slow one nor a thousand of them cost the recorder anything. No module
here imports the web server but `limits` and `server`.
"""
