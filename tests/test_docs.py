"""Check that the documents do not drift: what they point to is there, what they show works."""

import ast
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ticktape.cli import run
from ticktape.cli.application import VERBS
from ticktape.ledger import FeedVerdict, Verdict
from ticktape.schemas import KINDS
from ticktape.sim.faults import FAULTS
from ticktape.sim.mt5.faults import FAULTS as MT5_FAULTS

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "ticktape"
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
README = (ROOT / "README.md").read_text("utf-8")
ALL_VERBS = [verb for verbs in VERBS.values() for verb in verbs]
APPS = ("lab", "sim")  # verbs that have verbs of their own


def pages(path):
    return path.relative_to(ROOT).as_posix()


def section(text, head):
    """What stands under the line `head` up to the next of its level."""
    level = head.partition(" ")[0]
    found = re.search(rf"^{re.escape(head)}[^\n]*\n(.*?)(?=^{level} |\Z)", text, re.S | re.M)
    assert found, f"no {head!r}"
    return found[1]


def first_cells(text):
    """The names in the first column of the tables of a text."""
    cells = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+)", text, re.M)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("page", PAGES, ids=pages)
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=pages)
def test_every_test_that_a_page_names_exists(page):
    """A promise is kept by the test that it names: `tests/….py`, or [`test_…`](tests/….py)."""
    for name, file in re.findall(
        r"(?:\[`(test_\w+)`\]\()?(tests/[\w/]+\.py)", page.read_text("utf-8")
    ):
        assert (ROOT / file).is_file(), f"{file} is not there"
        if name:
            assert re.search(
                rf"^ *(?:async )?def {name}\(", (ROOT / file).read_text("utf-8"), re.M
            ), f"{file} has no {name}"


def test_every_promise_names_the_test_that_keeps_it():
    rows = re.findall(r"^\| \d+ \|.*$", section(README, "## What it promises"), re.M)
    assert len(rows) >= 10  # the contract of DESIGN.md, and what follows from it
    assert [row for row in rows if not re.search(r"\[`test_\w+`\]\(tests/[\w/]+\.py\)", row)] == []


@pytest.mark.parametrize("page", PAGES, ids=pages)
def test_every_target_of_make_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = set(re.findall(r"(?:^ {4}\$? ?|`|^\$ )make ([a-z]+)\b", page.read_text("utf-8"), re.M))
    assert named <= targets


def test_changelog_begins_with_what_is_unreleased():
    heads = re.findall(r"^##+ (.*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert heads[0] == "Unreleased"
    groups = {"Added", "Changed", "Fixed", "Removed"}
    assert all(head in groups or re.match(r"Unreleased|\d+\.\d+", head) for head in heads)


# The code that pages name.


def test_everything_that_the_architecture_names_exists():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    methods, functions = {}, set()
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                names = {child.name for child in node.body if hasattr(child, "name")}
                methods.setdefault(node.name, set()).update(names)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions.add(node.name)
    named = re.findall(r"`([A-Z]\w+)\.(\w+)`", text)
    assert len(named) > 10
    assert [f"{kind}.{name}" for kind, name in named if name not in methods.get(kind, ())] == []
    for name in re.findall(r"`([a-z]+_[a-z_]+)`", text):
        assert name in functions, name
    for name in re.findall(r"`([\w/]+\.py|[a-z]+/)`", text):
        assert (SRC / name).exists() or (ROOT / name).exists(), name


def test_the_architecture_shows_every_room():
    the_map = section((ROOT / "ARCHITECTURE.md").read_text("utf-8"), "## The map")
    rooms = {path.parent.name for path in SRC.glob("*/__init__.py")}
    assert [room for room in rooms if f"`{room}/`" not in the_map] == []


# References.


def help_of(capsys, *verb):
    capsys.readouterr()
    assert run([*verb, "--help"]) == 0
    return set(re.findall(r"--[a-z0-9][a-z0-9-]*", capsys.readouterr().out))


@pytest.mark.parametrize("verb", ["run", "report"])
def test_every_option_of_the_lab_is_documented_and_no_other(verb, capsys):
    page = section((DOCS / "reference" / "cli.md").read_text("utf-8"), "## `lab run`")
    options = set(first_cells(section(page, f"### `lab {verb}`")))
    assert options == help_of(capsys, "lab", verb)


@pytest.mark.parametrize("verb", [verb for verb in ALL_VERBS if verb not in APPS])
def test_every_option_of_a_verb_is_documented_and_no_other(verb, capsys):
    page = section((DOCS / "reference" / "cli.md").read_text("utf-8"), f"## `{verb}")
    assert {name for name in first_cells(page) if name.startswith("--")} == help_of(capsys, verb)


def test_no_verb_is_documented_that_is_not_there():
    text = (DOCS / "reference" / "cli.md").read_text("utf-8")
    assert re.findall(r"^## `(\w+)", text, re.M) == ALL_VERBS


@pytest.mark.parametrize(
    ("verb", "menu"), [("alpaca", FAULTS), ("mt5", MT5_FAULTS)], ids=["alpaca", "mt5"]
)
def test_every_option_and_fault_of_a_simulator_is_documented(capsys, verb, menu):
    page = (DOCS / "reference" / "simulator.md").read_text("utf-8")
    text = section(page, f"## `sim {verb}`")
    # The menu of faults in the help's examples has no options of its own.
    options = {name for name in first_cells(text) if name.startswith("--")}
    assert options == help_of(capsys, "sim", verb)
    faults = [re.match(r"\w+", name)[0] for name in first_cells(section(text, "### Faults"))]
    assert sorted(faults) == sorted(menu)


@pytest.mark.parametrize("kind", KINDS)
def test_the_columns_of_a_table_are_documented_with_their_types(kind):
    text = (DOCS / "reference" / "tables.md").read_text("utf-8")
    rows = r"^\| `(\w+)` \| (\w+|list<item: \w+>) \|"
    shared = re.findall(rows, section(text, "## Every table"), re.M)
    own = re.findall(rows, section(text, f"## `{kind}`"), re.M)
    assert shared + own == [(field.name, str(field.type)) for field in KINDS[kind]]


def test_the_keys_of_check_json_are_documented():
    text = (DOCS / "reference" / "json.md").read_text("utf-8")
    feed = FeedVerdict("a", "alpaca", [], 0, 0, None, None, 0, [], [], [], 0)
    whole = set(first_cells(text.partition("## A feed")[0]))
    assert whole == Verdict([feed], [], {}, []).to_json().keys()
    # A feed has the run's sums, which stand in the first table.
    own = set(first_cells(section(text, "## A feed"))) | whole
    assert feed.to_json().keys() <= own
    assert own - feed.to_json().keys() == {"feeds", "decisions", "latency_us", "reasons"}


# What can be run.


def shell_of(page):
    return re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def run_shell(script, directory):
    """Run what a page tells its reader to; `ticktape` and `python` are this environment's."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="session")
def walked(tmp_path_factory):
    """A folder in which the tutorial has been followed, and what it printed."""
    directory = tmp_path_factory.mktemp("tutorial")
    blocks = shell_of(DOCS / "tutorial" / "first-tape.md")
    assert len(blocks) > 5
    script = "\n".join(blocks).replace("18765", str(free_port()))
    script = script.replace("demo --seconds 5", "demo --seconds 1")
    return directory, run_shell(script, directory)


def test_the_tutorial_works_and_shows_what_it_says(walked):
    _, out = walked
    assert len(re.findall(r"^sip +alpaca +36,234 +36,234 +0 +0 +0$", out, re.M)) == 1
    assert len(re.findall(r"^COMPLETE  received", out, re.M)) == 1
    assert "INCOMPLETE  received" in out, "the venue left before the recorder did"
    assert "the same as live" in out
    assert "trades of 5 symbols" in out


def test_the_commands_of_the_readme_work_on_the_demo(walked):
    directory, _ = walked
    shown = re.findall(r"^\$ (ticktape (?!init|doctor|probe|record|demo).*)$", README, re.M)
    assert len(shown) >= 2
    run_shell("\n".join(shown), directory)


def test_the_python_that_pages_show_is_python():
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.S | re.M):
            compile(block, str(page), "exec")
