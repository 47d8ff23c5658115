"""`ticktape rebuild` on the demo: two feeds of two kinds, a strategy, last values."""

import json
import re
import shutil

import pytest
from deltalake import DeltaTable
from filelock import FileLock

from ticktape.replay import rebuild


@pytest.fixture
def copy(demo, tmp_path):
    return shutil.copytree(demo, tmp_path / "copy")


def last_json(out):
    return json.loads(out.splitlines()[-1])


def test_all_of_the_demo_is_derived_again_equal(said, demo):
    before = sorted(demo.parent.iterdir())
    code, out, _ = said("rebuild", demo, "--check")

    assert code == 0
    assert out.splitlines()[-1] == "SAME  all that ran live was derived again, equal"
    assert re.search(r"^trades +sip +2013-10-08 +31348 +[0-9a-f]{12}  same$", out, re.M)
    assert re.search(r"^books +mt5 +\S+ +\d+ +[0-9a-f]{12}  same$", out, re.M)
    assert re.search(
        r"^decisions +decision:bursts +2013-10-08 +\d+ +[0-9a-f]{12}  same$", out, re.M
    )
    assert re.search(r"^last values: \d+ cells compared, same$", out, re.M)
    assert sorted(demo.parent.iterdir()) == before, "the scratch folder was left behind"


def test_check_json_is_one_object_on_the_last_line(said, demo, tmp_path):
    code, out, _ = said("rebuild", demo, "--check", "--json", "--scratch", tmp_path / "room")
    assert (code, len(out.splitlines())) == (0, 1)
    found = last_json(out)

    assert (found["state"], found["faults"], found["damage"]) == ("same", [], [])
    assert {each["kind"] for each in found["tables"]} >= {"trades", "quotes", "books", "ticks"}
    assert all(each["digest"] == each["derived_digest"] for each in found["tables"])
    assert found["last"]["compared"] >= 6
    assert list((tmp_path / "room").iterdir()) == []


def test_differences_are_shown_with_place_column_and_both_values(said, copy):
    books = DeltaTable(str(copy / "table" / "books"))
    seq = min(books.to_pyarrow_table(columns=["seq"])["seq"].to_pylist())
    books.update(updates={"poll": "poll + 1"}, predicate=f"seq = {seq}")
    DeltaTable(str(copy / "table" / "quotes")).delete("seq < 2000")
    code, out, _ = said("rebuild", copy, "--check")

    assert code == 1
    assert out.splitlines()[-1] == "DIFFERENT  it is not what the journals give"
    assert re.search(r"^quotes .* DIFFERENT$", out, re.M)
    assert re.search(r"^  - quotes sip 2013-10-08: rows: \d+ missing$", out, re.M)
    place = rf"^  - +epoch 0 seq {seq} index 0: poll is (\d+) and should be (\d+)$"
    lie, true = map(int, re.search(place, out, re.M).groups())
    assert lie == true + 1
    assert re.search(r"^trades .* same$", out, re.M)


def test_tables_that_are_gone_are_made_again(said, copy):
    shutil.rmtree(copy / "table")
    code, out, _ = said("rebuild", copy)

    assert code == 0
    assert re.fullmatch(r"[\d,]+ rows derived, read again, and put in place\n", out)
    assert said("check", copy)[0] == 0
    assert said("rebuild", copy, "--check")[0] == 0


def test_the_old_tables_are_named_or_dropped(said, copy):
    code, out, _ = said("rebuild", copy)
    assert code == 0
    assert out.splitlines()[-1] == f"the old tables stand in {copy / 'table.old-1'}"
    code, out, _ = said("rebuild", copy, "--drop-old", "--json")

    assert (code, last_json(out)["set_aside"]) == (0, None)
    assert [path.name for path in copy.glob("table.*")] == ["table.old-1"]


def test_it_is_refused_while_a_recorder_is_at_work(said, copy, monkeypatch):
    monkeypatch.setattr(rebuild, "_LOCK_S", 0.01)
    with FileLock(copy / "run.lock"):
        code, _, err = said("rebuild", copy)
        assert said("rebuild", copy, "--check")[0] == 0

    assert code == 3
    assert "a recorder is at work here" in err


@pytest.mark.parametrize("options", [["--check", "--drop-old"], ["--scratch", "x"]])
def test_options_that_do_not_go_together_are_refused(said, demo, options):
    code, _, err = said("rebuild", demo, *options)

    assert code == 2
    assert "--scratch goes with --check" in err


def test_a_folder_without_a_run_is_refused(said, tmp_path):
    assert said("rebuild", tmp_path)[0] == 2
