"""docs/reference/python.md and the public API name the same things."""

import re
from pathlib import Path

import pytest

import ticktape as tt

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "python.md").read_text("utf-8")


def members(kind):
    made = vars(kind).keys() | getattr(kind, "__annotations__", {}).keys()
    return {name for name in made if not name.startswith("_")}


@pytest.mark.parametrize(
    ("variable", "kind", "more"),
    [
        ("tape", tt.Tape, set()),
        ("run", tt.Run, set()),
        ("follow", tt.Follow, set()),
        ("venue", tt.SimulatedVenue, {"url", "urls"}),  # set when it is made
    ],
)
def test_every_member_of_a_public_class_is_documented_and_no_other(variable, kind, more):
    named = set(re.findall(rf"`{variable}\.(\w+)", PAGE))
    assert named == members(kind) | more


def test_every_public_name_is_documented():
    for name in tt.__all__:
        assert name.startswith("__") or re.search(rf"`(?:tt\.)?{name}\b", PAGE), name


def test_every_argument_of_follow_is_documented():
    arguments = tt.Tape.follow.__annotations__.keys() - {"return", "symbols"}
    section = PAGE.partition("## Follow\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, re.M)) == arguments
