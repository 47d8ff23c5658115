"""Does a whole recorded day go through exactly? `python -m bench.full_tape TAPE.parquet`.

Workload: a tape (columns ts_ns symbol price size exchange cond_flags) at max speed from `ticktape
sim alpaca`, at 1 and at 50 trades per frame, in protocol v2 and v1. Compared with the simulator's
private ground truth: every column of every row of the table, the last values, the path of every
trade through every stage, and the counts. It prints a line for each case and fails at the first
difference.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

_CASES = (("alpaca", 1), ("alpaca", 50), ("alpaca_v1", 1), ("alpaca_v1", 50))
_COLUMNS = "symbol, event_ns, exchange, id, price, size, conditions, tape"
_STAGES = ("written", "synced", "last", "decided", "stored")


def main() -> int:
    """Run all four cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tape", type=Path)
    parser.add_argument("--scratch", type=Path, help="where the runs go; kept if given")
    arguments = parser.parse_args()
    for kind, batch in _CASES:
        with tempfile.TemporaryDirectory(prefix="full-tape-") as scratch:
            folder = (arguments.scratch or Path(scratch)) / f"{kind}-{batch}"
            folder.mkdir(parents=True)
            case(arguments.tape, kind, batch, folder)
    return 0


def case(tape: Path, kind: str, batch: int, folder: Path) -> None:
    """One protocol at one batch size."""
    began = time.monotonic()
    verdict = _record(tape, kind, batch, folder)
    took_s = time.monotonic() - began
    run = folder / "run"
    differing = _differences(run, folder / "truth")
    traced, missing = _traced(run)
    wrong_last = _last_values(run, folder / "truth")
    good = verdict["complete"] and not differing and not missing and not wrong_last
    print(
        f"{kind:9} {batch:2} per frame: received {verdict['received']:,}, stored "
        f"{verdict['stored']:,}, dropped {verdict['dropped']}, rows that differ {differing}, "
        f"trades traced through {len(_STAGES)} stages {traced:,}, without a stamp {missing}, "
        f"wrong last values {wrong_last}, {took_s:.0f} s: {'OK' if good else 'FAILED'}",
        flush=True,
    )
    if not good:
        raise SystemExit(f"{kind} {batch}: {verdict['reasons'][:5]}")


def _record(tape: Path, kind: str, batch: int, folder: Path) -> dict[str, Any]:
    venue = subprocess.Popen(
        [
            *(sys.executable, "-m", "ticktape", "sim", "alpaca", "--tape", str(tape)),
            *("--speed", "max", "--batch", str(batch), "--truth", str(folder / "truth")),
            "--until-stdin-closes",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert venue.stdin is not None and venue.stdout is not None
    ready = json.loads(venue.stdout.readline())
    url = ready["v1_url"] if kind == "alpaca_v1" else ready["url"]
    symbols = '["*"]' if kind == "alpaca" else '["SPY", "IBM", "BAC", "AIG"]'
    from ticktape.cli import sample_strategy

    (folder / "tape.toml").write_text(
        f'directory = "run"\n[[feed]]\nname = "day"\nkind = "{kind}"\nurl = "{url}"\n'
        f'trades = {symbols}\n[[decide]]\nfile = "{sample_strategy.__file__}"\n'
    )
    environment = {
        **os.environ,
        "APCA_API_KEY_ID": "demo-key",
        "APCA_API_SECRET_KEY": "demo-secret",
    }
    recorder = subprocess.Popen(
        [sys.executable, "-m", "ticktape", "record", str(folder / "tape.toml"), "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=open(folder / "stderr", "wb"),  # noqa: SIM115
    )
    json.loads(venue.stdout.readline())  # the tape's end
    time.sleep(1.0)  # what is in the sockets arrives
    recorder.terminate()
    out, _ = recorder.communicate(timeout=600)
    venue.stdin.close()
    venue.wait(60)
    verdict: dict[str, Any] = json.loads(out.splitlines()[-1])
    return verdict


def _differences(run: Path, truth: Path) -> int:
    """Rows of the table that are not in the truth, or the other way round."""
    con = duckdb.connect()
    sent = f"SELECT {_COLUMNS} FROM read_parquet('{truth}/sent-*.parquet')"
    table = f"SELECT {_COLUMNS} FROM read_parquet('{run}/table/trades/*/*.parquet')"
    query = (
        f"SELECT (SELECT count(*) FROM (({sent}) EXCEPT ALL ({table})))"
        f" + (SELECT count(*) FROM (({table}) EXCEPT ALL ({sent})))"
    )
    return int(con.execute(query).fetchall()[0][0])


def _traced(run: Path) -> tuple[int, int]:
    """(trades with a stamp of every stage, trades that lack one)."""
    from ticktape.directory import RunDirectory
    from ticktape.latency import read_stages
    from ticktape.latency.join import first_stamps
    from ticktape.replay.paths import block_index

    directory = RunDirectory(run)
    index = block_index(directory, "day")
    stages = read_stages(directory.stages, "day")
    stamped = np.ones(len(index), bool)
    for stage in _STAGES:
        stamped &= first_stamps(index, stages[stage]).row >= 0
    con = duckdb.connect()
    seqs = con.execute(
        f"SELECT seq FROM read_parquet('{run}/table/trades/*/*.parquet')"
    ).fetchnumpy()["seq"]
    whole = stamped[np.searchsorted(index.seq, seqs, "right") - 1]
    return int(whole.sum()), int((~whole).sum())


def _last_values(run: Path, truth: Path) -> int:
    """Symbols whose last trade is not the tape's last row of the symbol."""
    from ticktape.lastvalue import LastValues

    con = duckdb.connect()
    rows = con.execute(
        f"SELECT symbol, arg_max((event_ns, id, price, size, exchange), seq) "
        f"FROM read_parquet('{truth}/sent-*.parquet') GROUP BY 1"
    ).fetchall()
    wrong = 0
    with LastValues(run / "live" / "last.map") as last:
        for symbol, expected in rows:
            trade = last["day", symbol].trade
            found = None
            if trade is not None:
                found = (trade.event_ns, trade.id, trade.price, trade.size, trade.exchange)
            wrong += found != tuple(expected)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
