"""Every module can be imported where Unix is not: without fcntl, its sockets, fork and signals."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src"

# What Windows has not. The first import loads what others have written, which has its own ways
# there and must keep them here: asyncio itself needs fcntl on Unix. The second is of ours alone.
CHILD = r"""
import asyncio, ctypes, importlib, importlib.abc, importlib.util, json, os, select, signal, socket
import sys

BLOCKED = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "rpyc", "syslog", "termios", "tty"}
BLOCKED |= {"MetaTrader5"}
OPTIONAL = {"rpyc", "MetaTrader5"}
ABSENT = {
    os: "fchmod fchown fdatasync fork forkpty geteuid getpgid getuid killpg mkfifo nice"
    " posix_fadvise posix_fallocate pread preadv pwrite pwritev register_at_fork"
    " sched_getaffinity sched_setaffinity sched_yield sendfile setsid statvfs sysconf uname"
    " O_CLOEXEC O_DIRECTORY O_DSYNC O_NOFOLLOW O_NONBLOCK O_SYNC WNOHANG",
    signal: "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGUSR1 SIGUSR2 alarm pause"
    " pthread_sigmask setitimer sigwait",
    socket: "AF_UNIX SO_REUSEPORT socketpair sendmsg",
    select: "epoll poll",
}


class Blocker(importlib.abc.MetaPathFinder):
    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def load(names):
    failed = {}
    for name in names:
        try:
            if name.endswith(".py"):
                spec = importlib.util.spec_from_file_location("of_a_file", name)
                spec.loader.exec_module(importlib.util.module_from_spec(spec))
            else:
                importlib.import_module(name)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


names, files, platform = json.loads(sys.argv[1])
sys.meta_path.insert(0, Blocker(OPTIONAL))
first = load(names)
for name in [name for name in sys.modules if name.partition(".")[0] == "ticktape"]:
    del sys.modules[name]
sys.meta_path[0].names |= BLOCKED
for name in BLOCKED:
    sys.modules.pop(name, None)
for module, gone in ABSENT.items():
    for name in gone.split():
        vars(module).pop(name, None)
sys.platform = platform
if platform == "win32":
    ctypes.PyDLL = lambda name: None  # Windows' own library, which is not here
second = load(names + files)
print(json.dumps([first, second, hasattr(os, "fdatasync"), hasattr(socket, "AF_UNIX")]))
"""


def modules():
    """Names of all modules of the package, and files that are imported by other names."""
    names, files = [], []
    for path in sorted((ROOT / "ticktape").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "as_module" in parts:
            files.append(str(path))
        elif parts[-1] != "__main__":
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names, files


def imported(names, files, platform=sys.platform):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps([names, files, platform])],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_package_is_walked_to_its_ends():
    names, files = modules()
    assert len(names) > 150 and len(set(names)) == len(names)
    assert {"ticktape", "ticktape.feeds.mt5.capture", "ticktape.cli.sim_mt5"} <= set(names)
    assert [Path(each).name for each in files] == ["MetaTrader5.py"]


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_module_is_imported_where_unix_and_the_extras_are_not(platform):
    names, files = modules()
    first, second, has_fdatasync, has_unix_sockets = imported(names, files, platform)
    assert (first, second) == ({}, {})
    assert (has_fdatasync, has_unix_sockets) == (False, False)


@pytest.mark.parametrize(
    "line",
    [
        "import fcntl",
        "from os import fdatasync",
        "import socket\nFAMILY = socket.AF_UNIX",
        "import signal\nSIGNALS = {signal.SIGHUP: 1}",
        "import resource",
        "import rpyc",
        "import MetaTrader5",
        "import os\nRUN = os.pread",
    ],
)
def test_this_test_can_fail(tmp_path, line):
    path = tmp_path / "needs.py"
    path.write_text(line)
    _, second, *_ = imported(["ticktape"], [str(path)])
    assert list(second) == [str(path)]
