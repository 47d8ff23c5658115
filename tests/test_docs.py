"""Check that the documents do not drift: what they point to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def pages(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=pages)
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=pages)
def test_every_test_that_a_page_names_exists(page):
    """A promise is kept by the test that it names: `tests/….py` or `tests/….py::test_…`."""
    for file, name in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", page.read_text("utf-8")):
        assert (ROOT / file).is_file(), f"{file} is not there"
        if name:
            assert re.search(
                rf"^ *(?:async )?def {name}\(", (ROOT / file).read_text("utf-8"), re.M
            ), f"{file} has no {name}"


@pytest.mark.parametrize("page", PAGES, ids=pages)
def test_every_target_of_make_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = set(re.findall(r"(?:^ {4}\$? ?|`)make ([a-z]+)\b", page.read_text("utf-8"), re.M))
    assert named <= targets


def test_changelog_begins_with_what_is_unreleased():
    heads = re.findall(r"^##+ (.*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert heads[0] == "Unreleased"
    groups = {"Added", "Changed", "Fixed", "Removed"}
    assert all(head in groups or re.match(r"Unreleased|\d+\.\d+", head) for head in heads)
