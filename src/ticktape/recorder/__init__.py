"""The wiring, live: a small supervisor and its child processes, each with one room's work.

Nothing but wiring lives here. Market data never travels between these processes but through the
journal; what parent
and child say to each other is a few lines of JSON on the child's standard input and output. Keys
go down that way, never in arguments or the environment.
"""
