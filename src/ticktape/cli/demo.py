"""`ticktape demo`: a simulated venue plays a real tape on loopback; record it, decide, prove it."""

import os
from pathlib import Path

from ticktape.cli.certificate import print_verdict
from ticktape.cli.clearing import clear
from ticktape.cli.running import run_to_end
from ticktape.cli.terminal import errors, print_json
from ticktape.cli.venue import Venue
from ticktape.config import Keys, parse_config
from ticktape.errors import ConfigError

_SECONDS = 15.0
_TAPE_S = 360.0  # the shipped tape: 15:55 to 16:01 New York time
_CONFIG = """
directory = {directory!r}
[[feed]]
name = "sip"
kind = "alpaca"
url = {url!r}
trades = ["*"]
quotes = ["*"]
bars = ["*"]
[table]
commit_s = 2.0
[[decide]]
file = {strategy!r}
name = "bursts"
"""
_HINTS = """\
Try  ticktape sql {run} "select symbol, count(*) from trades group by 1"
     ticktape last {run}
     ticktape trace {run} IBM 349
     ticktape latency {run} --worst 3
     ticktape replay {run}
     ticktape check {run}
"""


def demo(
    *, seconds: float = _SECONDS, directory: Path = Path("runs/demo"), json: bool = False
) -> int:
    """Record six real minutes around a close from a simulated venue, decide on them, prove it.

    No key and no network: `ticktape sim alpaca` plays the tape that ships in the package over a
    WebSocket on loopback. Afterwards everything works on runs/demo: sql, last, trace, latency,
    check, replay, export.

    Parameters
    ----------
    seconds
        How long the tape shall take; its six minutes are played faster.
    directory
        Where the run goes; an earlier demo there is replaced.
    json
        Print one JSON object at the end instead of the certificate.
    """
    if not 0 < seconds <= _TAPE_S:
        raise ConfigError(
            [f"--seconds {seconds:g} cannot be"], hint=f"Say 15; {_TAPE_S:g} is as it was."
        )
    errors.print(
        f"the last minutes of 2013-10-08 in New York, {_TAPE_S / seconds:.3g} times as fast, "
        f"from a simulated venue into {directory}",
        markup=False,
    )
    clear(directory)
    venue = Venue(_TAPE_S / seconds)
    try:
        text = _CONFIG.format(
            directory=str(directory.resolve()),
            url=venue.url(),
            strategy=str(Path(__file__).with_name("sample_strategy.py")),
        )
        config = parse_config(text, "the demo's config", Path())
        keys = {"sip": Keys("demo-key", "demo-secret")}
        finished = run_to_end(config, keys, venue.is_over)
    finally:
        venue.close()
    if json:
        print_json(finished.verdict.to_json())
    else:
        hints = _HINTS.format(run=os.path.relpath(directory)).splitlines()
        print_verdict(finished.verdict, hints if finished.verdict.complete else ())
    return finished.exit_code
