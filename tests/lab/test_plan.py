"""A lab's plan: which cells there are, their order, and how a folder goes on."""

import shutil
from collections import Counter

import pytest

from ticktape.errors import ConfigError
from ticktape.lab.layouts import LAYOUTS
from ticktape.lab.plan import (
    QUICK,
    Options,
    check_disk,
    left_to_do,
    make_plan,
    open_plan,
    parse_threshold,
)
from ticktape.lab.results import CELLS, RESULT, CellResult, Threshold, save_json


def finish(folder, key):
    place = folder / CELLS / key.name
    place.mkdir(parents=True)
    save_json(place / RESULT, CellResult(key))


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("1e6", Threshold(1_000_000)),
        ("10MB", Threshold(10_000_000)),
        ("1000000000", Threshold(1_000_000_000)),
        ("3600s", Threshold(seconds=3600)),
        ("1h", Threshold(seconds=3600)),
    ],
)
def test_a_threshold_is_a_size_or_a_time(text, threshold):
    assert parse_threshold(text) == threshold


@pytest.mark.parametrize("text", ["", "1e3", "big", "-1e6", "MB", "0s", "inf"])
def test_what_is_no_threshold_is_refused(text):
    with pytest.raises(ConfigError):
        parse_threshold(text)


def test_every_layout_is_run_at_every_threshold_as_often_as_asked():
    plan = make_plan(Options())
    cells = Counter((key.layout, key.threshold) for key in plan.cells if not key.victim)
    assert len(cells) == len(LAYOUTS) * 3
    assert set(cells.values()) == {3}
    assert {key.layout for key in plan.cells if key.victim} == set(LAYOUTS)
    assert len({key.name for key in plan.cells}) == len(plan.cells)


def test_quick_kills_at_one_threshold_only():
    plan = make_plan(QUICK)
    assert len({key.threshold for key in plan.cells if key.victim}) == 1
    assert len([key for key in plan.cells if not key.victim]) == 2 * len(LAYOUTS)


def test_the_order_is_random_and_the_seeds_own():
    orders = [make_plan(QUICK._replace(seed=seed)).cells for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert Counter(orders[0]) == Counter(orders[2])


def test_all_that_is_wrong_is_told_at_once():
    wrong = Options(layouts=("pipe-3",), format="xls", repeats=0, seconds=0, acquirer="lazy")
    with pytest.raises(ConfigError) as refused:
        make_plan(wrong)
    assert len(refused.value.faults) == 5


def test_a_stream_is_captured_on_one_connection():
    plan = make_plan(QUICK._replace(source="alpaca trades:X ws://127.0.0.1:1/v2/iex"))
    assert "journal-x2" not in {key.layout for key in plan.cells}


def test_a_folder_goes_on_with_what_is_missing(tmp_path):
    plan = open_plan(tmp_path, make_plan(QUICK))
    assert plan.machine["cpus"] > 0
    finish(tmp_path, plan.cells[3])
    again = open_plan(tmp_path, None)
    assert again == open_plan(tmp_path, make_plan(QUICK)) == plan
    assert left_to_do(tmp_path, again) == plan.cells[:3] + plan.cells[4:]


def test_another_plan_in_the_same_folder_is_refused_with_the_difference(tmp_path):
    plan = open_plan(tmp_path, make_plan(QUICK))
    finish(tmp_path, plan.cells[0])
    with pytest.raises(ConfigError, match="other format, cell_s"):
        open_plan(tmp_path, make_plan(QUICK._replace(format="parquet", seconds=9.0)))


def test_a_plan_of_which_nothing_is_done_gives_way(tmp_path):
    open_plan(tmp_path, make_plan(QUICK))
    other = open_plan(tmp_path, make_plan(QUICK._replace(format="parquet")))
    assert open_plan(tmp_path, None).format == other.format == "parquet"


def test_without_a_plan_nothing_goes_on(tmp_path):
    with pytest.raises(ConfigError, match="no lab was begun"):
        open_plan(tmp_path / "none", None)


def test_a_disk_that_is_too_small_is_refused_with_what_is_needed(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    check_disk(tmp_path, make_plan(QUICK._replace(seconds=0.1)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2_000_000_000))
    with pytest.raises(ConfigError, match=r"need \d+\.\d GB on the disk, and there are 2\.0 GB"):
        check_disk(tmp_path, make_plan(Options()))
