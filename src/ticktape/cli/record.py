"""`ticktape record`: the recorder."""

import contextlib
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ticktape import clock
from ticktape.cli.certificate import print_verdict
from ticktape.cli.dashboard_child import page_of
from ticktape.cli.running import keys_of, over_after, run_to_end
from ticktape.cli.terminal import errors, print_json
from ticktape.config import load_config
from ticktape.recorder.supervisor import Supervisor


def record(
    config: Path,
    /,
    *,
    span: Annotated[str | None, Parameter(name="--for")] = None,
    until: str | None = None,
    dashboard: bool = False,
    json: bool = False,
) -> int:
    """Record what a config says, until Ctrl-C, --for or --until; then prove what was recorded.

    A later run of the same config goes on in the same directory. Everything can be queried while it
    runs: ticktape sql, last, trace, latency. Symbols can be changed meanwhile: by ticktape
    subscribe, or by editing the config and sending SIGHUP.

    Examples: `ticktape record ticktape.toml`; `ticktape record ticktape.toml --until 16:00`.

    Parameters
    ----------
    config
        The TOML file; `ticktape init` writes one.
    span
        Record for so long: 60s, 5m, 6.5h, 2d.
    until
        Record until this time: 16:00 (local), or 2026-11-23T16:00-05:00.
    dashboard
        Serve the run's page on this machine meanwhile, as `ticktape dashboard` does.
    json
        Print one JSON object at the end instead of the certificate.
    """
    seconds = clock.parse_span_s(span) if span is not None else None
    until_ns = clock.parse_until(until) if until is not None else None
    loaded = load_config(config)
    keys = keys_of(loaded)
    names = ", ".join(
        f"{feed.name} ({feed.kind}, {feed.url or feed.terminal})" for feed in loaded.feed
    )

    def on_started(_: Supervisor) -> None:
        errors.print(f"recording {names} into {loaded.directory}; Ctrl-C ends it", markup=False)

    is_over = over_after(seconds, until_ns)
    with page_of(loaded.directory) if dashboard else contextlib.nullcontext():
        finished = run_to_end(loaded, keys, is_over, on_started, reread=lambda: load_config(config))
    if json:
        print_json(finished.verdict.to_json())
    else:
        print_verdict(finished.verdict)
    return finished.exit_code
