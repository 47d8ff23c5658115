"""`ticktape trace` and `ticktape latency`."""

from pathlib import Path

from ticktape.cli.terminal import console, print_json, print_latency, print_rows
from ticktape.replay.paths import TradePath, latency_report, slowest, trace_trade
from ticktape.replay.places import open_run


def trace(directory: Path, symbol: str, trade_id: int, /, *, json: bool = False) -> int:
    """Print one trade's way through the recorder: every stage, with its time since the socket read.

    Any trade can be traced, decided on or not. Example: `ticktape trace runs/demo IBM 96921`

    Parameters
    ----------
    directory
        The run's directory.
    symbol
        The trade's symbol.
    trade_id
        The venue's id of the trade.
    json
        Print one JSON object instead.
    """
    paths = trace_trade(open_run(directory), symbol, trade_id)
    if json:
        print_json({"paths": [path.to_json() for path in paths]})
        return 0
    for path in paths:
        _print_path(symbol, trade_id, path)
    return 0


def _print_path(symbol: str, trade_id: int, path: TradePath) -> None:
    trade = path.trade
    console.print(
        f"{trade['feed']} {symbol} {trade_id}: {trade['size']:g} @ {trade['price']:g} on "
        f"{trade['exchange']}, traded {trade['event_time']}, received {trade['recv_time']}",
        markup=False,
    )
    console.print(
        f"  entry {trade['seq']}[{trade['index']}] in the block at epoch {path.position.epoch} "
        f"offset {path.position.offset}"
    )
    longest = max((step.since_recv_us or 0.0 for step in path.steps), default=0.0)
    rows = []
    for step in path.steps:
        if step.since_recv_us is None:
            rows.append((step.stage, "", step.note, ""))
        else:
            bar = "▏" if not longest else "█" * max(1, round(30 * step.since_recv_us / longest))
            count = f"with {step.batch_count}" if step.batch_count > 1 else ""
            rows.append((step.stage, f"+{step.since_recv_us:,.1f} µs", bar, count))
    print_rows(("stage", "since recv", "", "batch"), rows)


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
    run = open_run(directory)
    report = latency_report(run)
    slow = slowest(run, report, worst) if worst else []
    if json:
        print_json(
            {
                "latency_us": report.to_dict(),
                "worst": [
                    {
                        "stage": batch.stage,
                        "feed": batch.feed,
                        "epoch": batch.position.epoch,
                        "offset": batch.position.offset,
                        "seq": batch.seq,
                        "latency_us": batch.latency_ns / 1000,
                        "batch": batch.batch_count,
                        "why": batch.why,
                    }
                    for batch in slow
                ],
            }
        )
        return 0
    print_latency(report.to_dict())
    if slow:
        rows = [
            (b.stage, b.feed, b.seq, f"{b.latency_ns / 1000:,.0f}", b.batch_count, b.why)
            for b in slow
        ]
        print_rows(("stage", "feed", "seq", "µs", "batch", "why"), rows)
    return 0
