"""Runs the proof with progress on the terminal; shared by check, record and demo."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ticktape.cli.terminal import errors
from ticktape.directory import RunDirectory
from ticktape.journal.segments import list_segments

if TYPE_CHECKING:
    from ticktape.ledger import Verdict


def prove_with_progress(directory: RunDirectory, extra: list[str] | None = None) -> "Verdict":
    """Prove a run, with a bar on the terminal's standard error."""
    # The engines behind the proof take a second to load, which a recording need not wait for.
    from ticktape.replay.check import check as prove

    scratch = Path(tempfile.mkdtemp(prefix="ticktape-check-"))
    columns = (TextColumn("reading {task.description}"), BarColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
    try:
        with bar:
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
