"""Check the code's own shape: size, names, the map, and what may not stand in a tracked file.

Ruff checks style and banned calls, mypy types, import-linter direction; the last tests run them, so
that `make test` is everything that `make check` is.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "ticktape"
MODULES = sorted(SRC.rglob("*.py"))

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60  # the docstring does not count
DRAWERS = {"utils", "helpers", "common", "misc", "core", "base", "manager"}

# Modules allowed past MODULE_LINES_MAX, with their present size: may shrink, never grow.
RATCHET: dict[str, int] = {}

# In pieces, so that this file does not hold what it looks for.
MACHINE_PATHS = [f"/{name}/" for name in ("wo" + "rk", "ro" + "ot", "fa" + "rm")]
INDEX_OPTIONS = ["index" + "-url", "find" + "-links", "trusted" + "-host"]

LOCKS = ["requirements.lock", "requirements-test.lock", "requirements-build.lock"]


def function_lines(function):
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def tracked_files():
    """Files that git has or would take; of a tree without git, all but hidden folders."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        names = [ROOT / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    else:
        names = [path for path in ROOT.rglob("*") if ".venv" not in path.relative_to(ROOT).parts]
    return [path for path in names if path.is_file()]


def pins(name):
    """`{"numpy": {"2.4.6", "2.5.5"}}` from a lock."""
    found = {}
    for package, version in re.findall(r"^([\w.-]+)==([\w.!+]+)", (ROOT / name).read_text(), re.M):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_module_is_tidy(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    name = path.relative_to(SRC).as_posix()

    assert path.stem not in DRAWERS, f"{name}: name the module for what it holds"
    assert ast.get_docstring(tree), f"{name}: say what this module is for"
    lines = len(text.splitlines())
    assert lines <= RATCHET.get(name, MODULE_LINES_MAX), f"{name}: {lines} lines"

    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = function_lines(node)
            assert lines <= FUNCTION_LINES_MAX, f"{name}:{node.lineno}: {lines} lines"


def test_ratchet_only_shrinks():
    sizes = {name: len((SRC / name).read_text().splitlines()) for name in RATCHET}
    assert sizes == RATCHET, "lower the number, or take the module out when it fits"
    assert all(size > MODULE_LINES_MAX for size in sizes.values())


def test_every_room_is_on_the_map():
    the_map = ast.get_docstring(ast.parse((SRC / "__init__.py").read_text(encoding="utf-8")))
    rooms = {path.parent.name for path in SRC.glob("*/__init__.py")}
    assert {room for room in rooms if room not in the_map} == set()


def test_every_room_on_the_map_exists():
    the_map = ast.get_docstring(ast.parse((SRC / "__init__.py").read_text(encoding="utf-8")))
    named = re.findall(r"^    (\w+)(?:/|\.py) ", the_map, re.M)
    assert named
    there = {path.stem for path in SRC.iterdir()}
    assert [name for name in named if name not in there] == []


def test_only_the_command_line_reads_the_environment():
    """Settings come from the config, keys from the command line.

    Failpoints and a clock on another day are for tests alone; `recorder/process.py` only takes the
    keys out of what children inherit; the simulated MetaTrader5 has no command line from which to
    learn of its terminal.
    """
    allowed = {
        "clock.py",
        "failpoints.py",
        "recorder/process.py",
        "sim/mt5/as_module/MetaTrader5.py",
    }
    readers = {
        path.relative_to(SRC).as_posix()
        for path in MODULES
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text(encoding="utf-8"))
    }
    assert {name for name in readers if not name.startswith("cli/")} <= allowed


def test_no_tracked_file_names_a_path_of_this_machine():
    wanted = re.compile(rb"(?<![\w./~-])(?:" + "|".join(MACHINE_PATHS).encode() + rb")")
    files = tracked_files()
    assert Path(__file__).resolve() in {path.resolve() for path in files}
    assert [str(path) for path in files if wanted.search(path.read_bytes())] == []


def test_no_tracked_file_says_where_to_download_from():
    wanted = re.compile("|".join(INDEX_OPTIONS).encode())
    assert [str(path) for path in tracked_files() if wanted.search(path.read_bytes())] == []


@pytest.mark.parametrize("name", LOCKS)
def test_lock_is_pinned_and_hashed_and_has_no_address(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-(?!-hash=)", text, re.M), "options other than hashes"
    assert " @ " not in text
    requirements = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n?", "", text, flags=re.M).strip())
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9][\w.-]*==[\w.!+]+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_test_lock_holds_the_runtime_lock_in_the_same_versions():
    runtime, test = pins("requirements.lock"), pins("requirements-test.lock")
    assert {name: test.get(name) for name in runtime} == runtime


def test_locks_hold_every_requirement_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    wanted = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-test.lock": groups["test"] + groups["check"],
        "requirements-build.lock": project["build-system"]["requires"],
    }
    for lock, requirements in wanted.items():
        names = {re.match(r"[\w.-]+", line)[0].replace(".", "-").lower() for line in requirements}
        assert names <= pins(lock).keys(), f"{lock}: run make lock"


def test_runtime_lock_holds_no_tool_of_development():
    tools = {"pytest", "hypothesis", "ruff", "mypy", "import-linter", "alpaca-py", "hatchling"}
    assert tools & pins("requirements.lock").keys() == set()


def run_checker(*command):
    """Run one tool over the tree and show what it says when it is not content."""
    environ = os.environ | {"PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1"}
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


@pytest.mark.checker
def test_ruff_finds_nothing():
    run_checker(sys.executable, "-m", "ruff", "check", "--no-cache", ".")


@pytest.mark.checker
def test_code_is_formatted():
    run_checker(sys.executable, "-m", "ruff", "format", "--check", "--no-cache", ".")


@pytest.mark.checker
@pytest.mark.timeout(900)
def test_mypy_strict_finds_nothing():
    run_checker(sys.executable, "-m", "mypy")


@pytest.mark.checker
def test_imports_go_down_the_list():
    call = "lint_imports(no_cache=True, no_logo=True)"
    run_checker(sys.executable, "-c", f"from importlinter.cli import *; raise SystemExit({call})")
