"""`ticktape trace` and `ticktape latency`."""

from pathlib import Path
from typing import TYPE_CHECKING

from ticktape.cli.figures import duration
from ticktape.cli.terminal import print_json, print_latency, print_line, print_rows
from ticktape.errors import ConfigError
from ticktape.replay.paths import TradePath, latency_report, slowest, trace_trade
from ticktape.replay.places import open_run

if TYPE_CHECKING:
    from ticktape.latency import SlowBatch, Step

_PATHS_SHOWN = 3
_NS_PER_US = 1_000


def trace(
    directory: Path, symbol: str, trade_id: int, /, *, exchange: str = "", json: bool = False
) -> int:
    """Print one trade's way through the recorder: every stage, with its time since the socket read.

    Any trade can be traced, decided on or not. A venue may use an id once per exchange: then the
    first three are shown and all are named. Example: `ticktape trace runs/demo IBM 349`

    Parameters
    ----------
    directory
        The run's directory.
    symbol
        The trade's symbol.
    trade_id
        The venue's id of the trade.
    exchange
        Only the trade on this exchange.
    json
        Print one JSON object instead.
    """
    paths = trace_trade(open_run(directory), symbol, trade_id)
    exchanges = sorted({str(path.trade["exchange"]) for path in paths})
    if exchange:
        paths = [path for path in paths if path.trade["exchange"] == exchange]
    if not paths:
        raise ConfigError(
            [f"{directory}: no trade {trade_id} of {symbol} on exchange {exchange!r}"],
            hint=f"It is on: {', '.join(exchanges)}.",
        )
    if json:
        print_json({"paths": [path.to_json() for path in paths]})
        return 0
    for number, path in enumerate(paths[:_PATHS_SHOWN]):
        if number:
            print_line("")
        _print_path(symbol, trade_id, path)
    if len(paths) > _PATHS_SHOWN:
        print_line(
            f"\n… and {len(paths) - _PATHS_SHOWN} more trades with this id; pick one of "
            f"--exchange {', '.join(exchanges)}"
        )
    return 0


def _print_path(symbol: str, trade_id: int, path: TradePath) -> None:
    trade = path.trade
    print_line(
        f"{trade['feed']} {symbol} {trade_id}: {trade['size']:g} @ {trade['price']:g} on "
        f"{trade['exchange']}"
    )
    print_line(f"  traded    {trade['event_time']}")
    print_line(f"  received  {trade['recv_time']}")
    print_line(
        f"  journaled as entry {trade['seq']}, message {trade['index']} in it; its block stands at "
        f"epoch {path.position.epoch}, offset {path.position.offset:,}"
    )
    print_rows(
        ("  stage", "since the socket read", ""),
        [(f"  {step.stage}", *_step_words(step)) for step in path.steps],
        right=("since the socket read",),
    )


def _step_words(step: "Step") -> tuple[str, str]:
    if step.since_recv_us is None:
        return "-", step.note
    together = f"together with {step.batch_count - 1:,} others" if step.batch_count > 1 else ""
    return f"+{duration(step.since_recv_us * _NS_PER_US)}", together


def latency(directory: Path, /, *, worst: int = 0, json: bool = False) -> int:
    """Print latency percentiles per stage, of every entry, measured from the socket read.

    An entry that waited behind others counts its whole wait: there is no coordinated omission.

    Parameters
    ----------
    directory
        The run's directory.
    worst
        Also the so many slowest batches of each stage, with what stood in their way.
    json
        Print one JSON object instead.
    """
    if worst < 0:
        raise ConfigError([f"--worst {worst} is no count"], hint="Say --worst 20.")
    run = open_run(directory)
    report = latency_report(run)
    slow = slowest(run, report, worst) if worst else []
    if json:
        print_json({"latency_us": report.to_dict(), "worst": [_slow_json(each) for each in slow]})
        return 0
    print_latency(report.to_dict())
    if slow:
        print_line("")
        names = ("slowest in", "feed", "seq", "took", "why")
        print_rows(names, [_slow_cells(batch) for batch in slow], right=("took",))
    return 0


def _slow_cells(batch: "SlowBatch") -> tuple[object, ...]:
    return (batch.stage, batch.feed, batch.seq, duration(batch.latency_ns), batch.why)


def _slow_json(batch: "SlowBatch") -> dict[str, object]:
    return {
        "stage": batch.stage,
        "feed": batch.feed,
        "epoch": batch.position.epoch,
        "offset": batch.position.offset,
        "seq": batch.seq,
        "latency_us": batch.latency_ns / _NS_PER_US,
        "batch": batch.batch_count,
        "why": batch.why,
    }
