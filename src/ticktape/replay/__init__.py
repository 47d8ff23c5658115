"""The wiring, from a journal: proof, latency, trace, queries with the tail, deciding again.

Only wiring lives here. It differs from `recorder` in where blocks come from, and in nothing else.
"""
