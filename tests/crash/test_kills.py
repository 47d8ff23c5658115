"""Kill the recorder's processes again and again while a tape runs, then prove that nothing is lost.

The real tree against the real simulator: `ticktape record` with a strategy over two feeds, seeded
`kill -9` among its processes (the parent too), some of them inside a journal write or inside a
table commit by a failpoint. The same seed makes the same plan. For longer: `make crash`.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its modules, also under pytest

from campaign_tree import run_batch
from kill_tree import CHILDREN, INSIDE, make_plan


def test_the_same_seed_makes_the_same_plan():
    assert make_plan(7, 20, 40) == make_plan(7, 20, 40)
    assert make_plan(7, 20, 40) != make_plan(8, 20, 40)


@pytest.mark.parametrize("seed", range(20))
def test_every_plan_strikes_a_write_a_commit_the_parent_and_every_child(seed):
    plan = make_plan(seed, 20, 40)

    assert sum(kill.weight for kill in plan) == 20
    assert {kill.victim for kill in plan} == {*CHILDREN, "parent"}
    assert {kill.failpoint.partition(".")[0] for kill in plan} >= {"journal", "table"}
    assert [kill.at_s for kill in plan] == sorted(kill.at_s for kill in plan)
    assert {kill.wait for kill in plan if kill.victim == "parent"} == {True, False}


def test_plans_of_seeds_in_a_row_strike_inside_every_place():
    plans = [make_plan(seed, 20, 35) for seed in range(7_000_000, 7_000_000 + len(INSIDE))]
    struck = {(kill.victim, kill.failpoint.partition(":")[0]) for plan in plans for kill in plan}

    assert struck >= set(INSIDE)


@pytest.mark.timeout(900)
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is a thing of POSIX")
def test_nothing_written_is_lost_and_every_row_is_stored_once_whoever_is_killed(tmp_path):
    kills, seed = int(os.environ.get("CRASH_KILLS", 20)), int(os.environ.get("CRASH_SEED", 7))
    said: list[str] = []
    done, violations = run_batch(tmp_path, seed, kills, said.append)

    assert violations == [], "\n".join([*said, *violations, f"seed {seed}"])
    assert done == kills
