"""Old rows go, file by file; what a process may still write to never does."""

import os

import pytest

from ticktape.directory import RunDirectory
from ticktape.latency import RunId, StageLog
from ticktape.recorder.row_keeping import delete_rows

SECOND = 10**9


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path)


def rows_of(folder, name, start, written_s):
    with StageLog(folder, name, RunId(bytes(16), start, 1)) as log:
        log.append(1, 0, 10, 5, 1)
        log.flush()
    os.utime(log.path, (written_s, written_s))
    return log.path


def test_what_is_older_goes_of_every_stage_and_of_pauses(directory):
    folders = [directory.stages / "stored", directory.stages / "decided-a", directory.pauses]
    old = [rows_of(folder, "sip", 1, 100) for folder in folders]
    kept = [rows_of(folder, "sip", 2, 200) for folder in folders]
    kept += [rows_of(folder, "sip", 3, 300) for folder in folders]
    assert delete_rows(directory, 150 * SECOND) == 3
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)


def test_the_newest_of_each_stays_however_old(directory):
    folder = directory.stages / "stored"
    paths = [rows_of(folder, name, 1, 100) for name in ("sip", "iex", "iex-2", "decision:a")]
    assert delete_rows(directory, 10**18) == 0
    assert all(path.exists() for path in paths)


def test_a_run_without_rows_has_none_deleted(directory):
    assert delete_rows(directory, 10**18) == 0
