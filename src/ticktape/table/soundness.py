"""Whether a table's newest commit and its files are whole, as after a power loss."""

import json
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable

from ticktape.table.files import sync_directory

LAST_COUNTER = "/conflicts"
"""End of the name in the txn action that ends each of our commits."""


def torn_commit(path: Path) -> str:
    """What is wrong with the newest commit; empty when nothing is.

    Only that one can be torn by a power loss: each was synced before the next began. deltalake
    takes an empty file for an empty commit, and one cut between two lines for a whole one, whose
    rows would then come again.
    """
    log = _newest(path)
    try:
        actions = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line]
        ours = any(action.get("commitInfo", {}).get("operation") == "WRITE" for action in actions)
        ends = [action.get("txn", {}).get("appId", "") for action in actions[-1:]]
    except (ValueError, AttributeError):  # no text, no JSON, or no object
        return f"its last commit {log.name} is torn"
    if ends and (not ours or ends[0].endswith(LAST_COUNTER)):
        return ""
    return f"its last commit {log.name} is torn"


def drop_torn_commit(path: Path) -> Path | None:
    """Take the newest commit out of the log if it is torn; where it lies then, beside the table.

    The table is then what it was before that commit, whose entries come again from the journal: a
    reader's position is saved only behind a whole one. With the first commit there is no table.
    """
    if not torn_commit(path) or int(_newest(path).stem) == 0:
        return None
    number = 1
    while (aside := path.with_name(f"{path.name}.torn-{number}.json")).exists():
        number += 1
    _newest(path).rename(aside)
    sync_directory(path / "_delta_log")
    sync_directory(path.parent)
    return aside


def _newest(path: Path) -> Path:
    return max((path / "_delta_log").glob("*.json"))


def missing_file(path: Path, snapshot: DeltaTable) -> str:
    """What is wrong with the files that the log names; empty when nothing is."""
    actions = pa.table(snapshot.get_add_actions(flatten=True))
    names, sizes = actions.column("path").to_pylist(), actions.column("size_bytes").to_pylist()
    for name, size in zip(names, sizes, strict=True):
        try:
            found = (path / str(name)).stat().st_size
        except FileNotFoundError:
            return f"{name} is missing"
        if found != size:
            return f"{name} has {found} bytes and not {size}"
    return ""
