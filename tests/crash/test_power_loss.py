"""Cut the power after every call of a session, in every way that loses what is not synced.

`python tests/crash/test_power_loss.py --seed 7 --sessions 20` tries sessions made up from a seed.
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its three modules, also under pytest

from power_proof import Session, Survivor
from power_states import moments, put

from ticktape.journal import format as format_module

SYNCS = ("group", "each", "os")
# Every kind of call that makes something durable, more than one segment, and blocks of one sector
# and of several; a kill, and a clean end.
STEPS = [
    ("open",),
    ("append", 20),
    ("append", 700),
    ("sync",),
    ("table",),
    ("append", 60, 0, 5),
    ("save",),
    ("append", 1200),
    ("append", 30),
    ("sync",),
    ("append", 10),
    ("table",),
    ("kill",),
    ("open",),
    ("append", 300),
    ("table",),
    ("save",),
    ("sync",),
    ("append", 40),
    ("close",),
    ("open",),
    ("append", 15),
]
AFTER = [("open",), ("append", 30), ("sync",), ("table",), ("append", 900), ("append", 10)]


@pytest.fixture(autouse=True)
def some_blocks_are_written_in_pieces(monkeypatch):
    """As those of many kB are, which would make the trees too many and too large."""
    monkeypatch.setattr(format_module, "_PIECE_BYTES", 500)


def prove_all(session, folder, rng, every_second=0, *, least_and_most=False):
    """Prove every tree that a cut may leave of a session; returns how many there were.

    Every so many of them are started once more on a recording disk, and cut a second time.
    """
    known = session.blocks()
    folder.mkdir(exist_ok=True)
    count = again = 0
    for moment in moments(session.disk, rng, least_and_most=least_and_most):
        count += 1
        try:
            Survivor(session, moment, folder, known).prove()
        except AssertionError as error:
            done = session.disk.calls[moment.calls - 1] if moment.calls else "the start"
            sizes = {str(path): len(content) for path, content in moment.tree.items()}
            raise AssertionError(f"cut after call {moment.calls} ({done}): {sizes}") from error
        if every_second and count % every_second == 0:
            again += cut_again(session, moment, folder / "second", rng)
    return count + again


def cut_again(session, moment, folder, rng):
    """A session on what a cut left, cut after each of its own calls."""
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "disk"
    root.mkdir(parents=True)
    put(moment.tree, root)
    second = Session(root, session.sync_mode, before=session.said(moment.calls))
    return prove_all(second.run(AFTER).end(), folder / "proof", rng, least_and_most=True)


@pytest.mark.parametrize("sync", SYNCS)
def test_whatever_a_power_cut_leaves_the_contract_holds(tmp_path, sync):
    root = tmp_path / "disk"
    root.mkdir()
    session = Session(root, sync).run(STEPS).end()
    rng = random.Random(1)
    assert prove_all(session, tmp_path / "proof", rng, every_second=120) > 100


def made_up(rng):
    """Steps of a session that nobody thought of."""
    steps = [("open",)]
    for _ in range(rng.randint(5, 25)):
        name = rng.choice(
            ["append"] * 8 + ["sync"] * 3 + ["table", "table", "save", "kill", "close"]
        )
        if name == "append":
            sizes = [rng.choice([0, 1, 30, 448, 600, 2000]) for _ in range(rng.randint(1, 3))]
            steps.append((name, *sizes))
        else:
            steps.append((name,))
        if name in ("kill", "close"):
            steps.append(("open",))
    return steps


def prove_made_up(seed, folder, **how):
    """Prove the session of a seed; returns how many trees there were."""
    rng = random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "disk"
    root.mkdir(parents=True)
    segment_bytes = rng.choice([300, 900, 5000])
    session = Session(root, rng.choice(SYNCS), segment_bytes=segment_bytes)
    session.run(made_up(rng)).end()
    return prove_all(session, folder / "proof", rng, **how)


@pytest.mark.parametrize("seed", [1, 2])
def test_sessions_made_up_from_a_seed_hold_the_contract_too(tmp_path, seed):
    assert prove_made_up(seed, tmp_path / "made up", least_and_most=True) > 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the first session")
    parser.add_argument("--sessions", type=int, default=10)
    asked = parser.parse_args()
    cuts = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.seed, asked.seed + asked.sessions):
            try:
                cuts += prove_made_up(seed, Path(folder) / "session", every_second=100)
            except BaseException:
                sys.stdout.write(f"again with: --seed {seed} --sessions 1\n")
                raise
    done = f"{cuts} cuts of {asked.sessions} sessions, 0 violations, seed {asked.seed}"
    sys.stdout.write(f"{done}\n")


if __name__ == "__main__":
    main()
