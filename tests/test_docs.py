"""Check that the documents do not drift: what they point to is there, what they show works."""

import ast
import contextlib
import functools
import io
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

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


@functools.cache
def help_of_verb(*verb):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert run([*verb, "--help"]) == 0
    return set(re.findall(r"--[a-z0-9][a-z0-9-]*", said.getvalue()))


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


# What can be run: blocks marked `sh`, and the lines with a prompt of those marked `console`.

TUTORIAL = DOCS / "tutorial" / "first-tape.md"
GUIDES = sorted([*(DOCS / "how-to").glob("*.md"), *(DOCS / "explanation").glob("*.md")])

# What must be there before a page's first command.
PRELUDE = {
    "heal.md": """
export APCA_API_KEY_ID=demo-key APCA_API_SECRET_KEY=demo-secret
ticktape sim alpaca --tape generated --events 20000 --rest --rest-all --rest-port @REST@
""",
    "record-alpaca.md": """
rm -r tape ticktape.toml
ticktape sim alpaca --tape generated --port @VENUE@
""",
    "full-disk.md": "rm ticktape.toml",
    "tls-and-proxy.md": """
python -c 'import trustme
made = trustme.CA().issue_cert("localhost")
made.private_key_pem.write_to_path("server.key")
made.cert_chain_pems[0].write_to_path("server.pem")'
""",
}

# Pages whose commands cannot be run here, and why. May only shrink.
NOT_RUN = {
    "docs/how-to/record-mt5-wine.md": "wants Wine",
    "docs/how-to/record-mt5.md": "wants Windows",
    "docs/how-to/run-as-a-service.md": "wants root and systemd",
    "docs/how-to/run-the-lab.md": "takes half an hour",
}

# What holds a page up goes on behind it: a server until the page's end. A simulated venue stands in
# for Alpaca's.
SHELL = r"""
ticktape() {
    [ "$BASHPID" = "$$" ] || exec "$(type -P ticktape)" "$@"  # the page has put it behind itself
    case "$1" in
        dashboard) serve page.log http "$@" --port @8321@ ;;
        sim) serve sim.out ready "$@" ;;
        demo) (patient "$@") ;;
        init) command ticktape "$@"; sed -i "s#wss://.*markets#@ALPACA@#" *.toml ;;
        record) command ticktape "$@" || [ $? = 1 ] ;;  # a slow machine may hear nothing so soon
        *) command ticktape "$@" ;;
    esac
}
patient() {  # a busy machine's processes need longer for what comes last than they have elsewhere
    exec python -c 'from ticktape.cli import main, venue
from ticktape.recorder import supervisor
supervisor.DECISIONS_LEAVE_S = 240
venue._SETTLE_NS = 2_000_000_000
main()' "$@"
}
record_until() {  # what the page does in so many seconds, which a slow machine does later
    : > record.log  # what the one before said is not to be read
    patient record "$2" > record.log 2>&1 &
    local recorder=$!
    until grep -q "$1" record.log; do
        kill -0 $recorder || { cat record.log; return 1; }
        sleep 0.1
    done
    sleep 0.5
    kill $recorder
    wait $recorder || [ $? = 1 ]
}
serve() {
    local log=$1 word=$2
    shift 2
    : > "$log"
    command ticktape "$@" > "$log" 2>&1 &
    until grep -q "$word" "$log"; do kill -0 $! || { cat "$log"; return 1; }; sleep 0.1; done
}
trap 'jobs -p | xargs -r kill 2> /dev/null' EXIT
"""


def commands_of(page, *, prompts=("$",)):
    """The text of a page's `sh` blocks and the prompted lines of its `console` blocks, in order."""
    text = page.read_text("utf-8")
    for indent, kind, block in re.findall(r"^( *)```(sh|console)\n(.*?)^ *```", text, re.S | re.M):
        lines = [line.removeprefix(indent) for line in block.splitlines()]
        if kind == "console":
            lines = [line[2:] for line in lines if line[:2] in [f"{each} " for each in prompts]]
        yield "\n".join(lines)


def free_ports(count):
    with contextlib.ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(server.getsockname()[1]) for server in servers]


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
    """A folder where the tutorial has been followed, and what it printed; once for all workers."""
    at_work = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if at_work else base) / "tutorial"
    with FileLock(f"{directory}.lock"):
        printed = directory / "printed.txt"
        if not printed.exists():
            directory.mkdir(exist_ok=True)
            ports = free_ports(3)
            script = SHELL + "\n".join(commands_of(TUTORIAL))
            for shown, port in zip(("18765", "18766", "@8321@"), ports, strict=True):
                script = script.replace(shown, port)
            for shown, meant in {
                "demo --seconds 5": "demo --seconds 1",
                "ticktape record mine.toml --for 10s": 'record_until "gap of" mine.toml',
                "ticktape record mine.toml --for 5s": 'record_until "subscribed" mine.toml',
            }.items():
                assert shown in script
                script = script.replace(shown, meant)
            printed.write_text(run_shell(script, directory), "utf-8")
    return directory, printed.read_text("utf-8")


@pytest.fixture
def at_hand(walked, tmp_path):
    """What the guides speak of: `runs/demo`, and `tape`, a recording with a gap."""
    directory, _ = walked
    shutil.copytree(directory / "runs", tmp_path / "runs")
    shutil.copytree(directory / "mine", tmp_path / "tape")
    for name in ("tape/run.toml", "ticktape.toml"):
        text = (directory / "mine" / "run.toml").read_text("utf-8")
        (tmp_path / name).write_text(text.replace(str(directory / "mine"), str(tmp_path / "tape")))
    return tmp_path


def test_the_tutorial_works_and_shows_what_it_says(walked):
    _, out = walked
    assert len(re.findall(r"^sip +alpaca +36,234 +36,234 +0 +0 +0$", out, re.M)) == 1
    assert re.findall(r"^rest +\d+$", out, re.M), "REST told of trades that the stream lost"
    assert re.findall(r"^COMPLETE  received .*\(healed \d\)", out, re.M)
    assert "the same: " in out
    assert "the same as live" in out
    assert "trades of 5 symbols" in out


def test_the_commands_of_the_readme_work_on_the_demo(walked):
    directory, _ = walked
    shown = re.findall(
        r"^\$ (ticktape (?!init|doctor|probe|record|demo|dashboard).*)$", README, re.M
    )
    assert len(shown) >= 2
    run_shell("\n".join(shown), directory)


def test_every_page_that_is_not_run_has_commands_and_is_a_guide():
    assert [page for page in NOT_RUN if not any(commands_of(ROOT / page, prompts="$>"))] == []
    assert NOT_RUN.keys() <= {pages(page) for page in GUIDES}


@pytest.mark.parametrize("page", PAGES, ids=pages)
def test_every_ticktape_that_a_page_shows_has_this_verb_and_these_options(page):
    text = page.read_text("utf-8")
    blocks = re.findall(r"^ *```(?:console|sh|text)\n(.*?)^ *```", text, re.S | re.M)
    lines = re.findall(
        r"^ *(?:[$>] )?(?:sudo -u \w+ )?(?:\S*/bin/)?ticktape (.*)",
        "".join(blocks).replace("\\\n", " "),
        re.M,
    )
    for line in lines:
        words = shlex.split(line.partition("#")[0].partition(" | ")[0], comments=False)
        assert words[0] in ALL_VERBS, line
        verb = words[: 2 if words[0] in APPS else 1]
        wanted = {word for word in words if word.startswith("--")} - {"--help"}
        assert wanted <= help_of_verb(*verb), line


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [page for page in GUIDES if any(commands_of(page))], ids=pages)
def test_the_commands_of_a_guide_work(page, at_hand):
    if pages(page) in NOT_RUN:
        pytest.skip(NOT_RUN[pages(page)])
    venue, metrics, tls, rest = free_ports(4)
    script = f"{SHELL}{PRELUDE.get(page.name, '')}\n" + "\n".join(commands_of(page))
    for shown, here in {
        "@8321@": metrics,
        "127.0.0.1:8321": f"127.0.0.1:{metrics}",
        "@VENUE@": venue,
        "@REST@": rest,
        "@ALPACA@": f"ws://127.0.0.1:{venue}",
        "8443": tls,
        "=… ": "=demo-key ",
        "=…\n": "=demo-secret\n",
        "--for 60s": "--for 3s",
        "--until 16:00": "--for 3s",
        "2026-11-25": "2026-03-03",  # the day of a made-up tape
    }.items():
        script = script.replace(shown, here)
    if page.name == "heal.md":
        config = at_hand / "tape" / "run.toml"
        config.write_text(
            re.sub(r"http://127\.0\.0\.1:\d+", f"http://127.0.0.1:{rest}", config.read_text())
        )
    run_shell(script, at_hand)


def test_the_python_that_pages_show_is_python():
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.S | re.M):
            compile(block, str(page), "exec")
