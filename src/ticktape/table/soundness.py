"""Whether a table's newest commit and its files are whole, as after a power loss; only reading."""

import json
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable

LAST_COUNTER = "/conflicts"
"""End of the name in the txn action that ends each of our commits."""


def torn_commit(path: Path, version: int) -> str:
    """What is wrong with the newest commit; empty when nothing is.

    Only that one can be torn by a power loss: each was synced before the next began. deltalake
    takes an empty file for an empty commit, and one cut between two lines for a whole one, whose
    rows would then come again.
    """
    name = f"{version:020}.json"
    log = path / "_delta_log" / name
    if not log.exists():  # cleaned up behind a checkpoint
        return ""
    actions = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line]
    ours = any(action.get("commitInfo", {}).get("operation") == "WRITE" for action in actions)
    last = actions[-1] if actions else {}
    if actions and (not ours or last.get("txn", {}).get("appId", "").endswith(LAST_COUNTER)):
        return ""
    return f"its last commit {name} is torn"


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
