"""Decisions: the user's callbacks, given every record in an order that is logged.

Replay then decides as live did. One process per strategy file: a slow or raising callback is its
own problem, made visible, and never the recorder's. Nothing here reads a clock for the strategy:
time comes with the records and the timer.
"""

from ticktape.decisions.log import InputLog, find_logs
from ticktape.decisions.own_last import Last, OwnLastValues
from ticktape.decisions.rerun import give_logged
from ticktape.decisions.runner import DecisionRunner
from ticktape.decisions.strategy import Strategy, load_strategy

__all__ = [
    "DecisionRunner",
    "InputLog",
    "Last",
    "OwnLastValues",
    "Strategy",
    "find_logs",
    "give_logged",
    "load_strategy",
]
