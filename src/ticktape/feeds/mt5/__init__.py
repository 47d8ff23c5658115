"""MetaTrader 5: books and ticks of one terminal, polled; the package's calls become entries.

    terminal    what is asked of a terminal, and the one on this machine
    codes       its errors in words
    books       which answers are news; counts in `counts`
    ticks       each tick once, by a cursor; `restore` finds it again in the journal
    broker      the broker's clock against ours
    pace        when the next pass is due
    capture     the run of one feed: sessions, gaps, heartbeats
    bridge      a terminal over RPyC, under Wine or on another machine: `remote`, `remotepush` run
                there, `stream` and `clockmap` bring its clock to ours
    push        books that the bridge polls and sends in `frames`; `bridged` chooses the way
    probe       what a terminal can do, asked in a minute; what was found is in `probed`

Nothing here may fail on what a book holds, and no call may be made from a second thread.
"""
