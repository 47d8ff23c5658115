"""Runs the proof with progress on the terminal; shared by check, record and demo."""

import shutil
import tempfile
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ticktape.cli.terminal import errors
from ticktape.directory import RunDirectory
from ticktape.journal.segments import list_segments
from ticktape.ledger import Verdict
from ticktape.replay.check import check as prove


def prove_with_progress(directory: RunDirectory, extra: list[str] | None = None) -> Verdict:
    """Prove a run, with a bar on the terminal's standard error."""
    scratch = Path(tempfile.mkdtemp(prefix="ticktape-check-"))
    columns = (TextColumn("reading {task.description}"), BarColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=errors, transient=True) as bar:
            tasks = {
                feed: bar.add_task(feed, total=_journal_bytes(directory, feed))
                for feed in directory.feeds()
            }

            def progress(name: str, read_bytes: int) -> None:
                if name in tasks:
                    bar.update(tasks[name], completed=read_bytes)

            verdict = prove(directory, scratch, progress)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return verdict._replace(extra=[*(extra or []), *verdict.extra])


def _journal_bytes(directory: RunDirectory, feed: str) -> int:
    return sum(segment.size_bytes() for segment in list_segments(directory.feed_journal(feed)))
