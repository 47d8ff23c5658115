"""Frames of trades as the venue sends them, made from a tape without a venue."""

import pyarrow as pa

from ticktape.sim import jsontext
from ticktape.sim.families import STOCKS
from ticktape.sim.generate import generate_tape
from ticktape.sim.layouts import LAYOUTS
from ticktape.sim.recorded import shipped_tape
from ticktape.sim.tape import Tape

_TRADES_OF_EVENTS = 0.59  # of a generated tape's events; the rest are quotes and changes


def real_trades() -> pa.Table:
    """The trades of the recorded close that ships with the package."""
    return _trades(shipped_tape())


def generated_trades(count: int) -> pa.Table:
    """`count` made-up trades of 20 symbols."""
    tape = generate_tape(symbols=20, events=int(count / _TRADES_OF_EVENTS * 1.02) + 1_000)
    return _trades(tape).slice(0, count)


def _trades(tape: Tape) -> pa.Table:
    return next(rows for kind, _, rows in tape.rows(0, len(tape)) if kind == "trades")


def frames(trades: pa.Table, per_frame: int) -> list[bytes]:
    """The JSON of each frame, `per_frame` trades in each but the last."""
    texts = jsontext.messages(LAYOUTS[STOCKS]["trades"], trades).to_pylist()
    return [
        f"[{','.join(texts[at : at + per_frame])}]".encode()
        for at in range(0, len(texts), per_frame)
    ]
