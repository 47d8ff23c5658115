"""Runs the proof with progress on the terminal; shared by check, certificate, record and demo."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ticktape.cli.terminal import errors
from ticktape.directory import RunDirectory
from ticktape.journal.segments import list_segments

if TYPE_CHECKING:
    from ticktape.ledger import Verdict
    from ticktape.replay.certify_verdict import Found


def check_with_progress(directory: RunDirectory) -> "Verdict":
    """Prove a run, with a bar on the terminal's standard error; nothing is written."""
    # The engines behind the proof take a second to load, which other verbs need not wait for.
    from ticktape.replay.certify_verdict import verdict_of

    return verdict_of(examine_with_progress(directory))


def prove_with_progress(
    directory: RunDirectory, extra: list[str], lost_frames: Mapping[str, int] | None = None
) -> "Verdict":
    """Prove a run that has ended, and write the certificates of its days.

    A certificate that speaks of other bytes than there are now is left, and is a reason.

    Args:
        directory: the run's.
        extra: reasons that no journal shows.
        lost_frames: by feed, frames of which no journal tells, for the certificate; in the verdict
            that is returned they are not counted.
    """
    from ticktape.cli.certificate_page import page
    from ticktape.replay import certify
    from ticktape.replay.certify_verdict import verdict_of

    found = examine_with_progress(directory, hashed=True)
    faults: list[str] = []
    try:
        days = certify.days_to_write(directory, found)
        for each in certify.certificates(found, days, extra, lost_frames):
            faults += map(str, certify.keep(directory, each, page(each), found))
    except OSError as error:
        faults.append(f"the certificate could not be written: {error}")
    verdict = verdict_of(found)
    return verdict._replace(extra=[*extra, *verdict.extra, *faults])


def examine_with_progress(directory: RunDirectory, *, hashed: bool = False) -> "Found":
    """Read a whole run, with a bar on the terminal's standard error.

    Raises:
        ConfigError: its run.toml is unreadable.
    """
    from ticktape.replay.check import examine

    names = directory.feeds()
    with _scratch() as scratch, _bar() as bar:
        tasks = {name: bar.add_task(name, total=_journal_bytes(directory, name)) for name in names}

        def progress(name: str, read_bytes: int) -> None:
            if name in tasks:
                bar.update(tasks[name], completed=read_bytes)

        return examine(directory, scratch, progress, hashed=hashed)


def _bar() -> Progress:
    columns = (TextColumn("reading {task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ticktape-check-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _journal_bytes(directory: RunDirectory, feed: str) -> int:
    return sum(segment.size_bytes() for segment in list_segments(directory.feed_journal(feed)))
