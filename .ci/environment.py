"""Make .venv hold exactly what a lock says, and say so; does nothing when it does already.

    python3 .ci/environment.py runtime    what users need: the program and what it imports
    python3 .ci/environment.py test       that, and the tools which test and check it

Nothing is installed whose hash is not in a lock, and only .venv is written. It uses the standard
library and the pip of the new environment alone, and downloads from wherever pip is set up to.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
LOCKS = {"runtime": "requirements.lock", "test": "requirements-test.lock"}
BUILD_LOCK = "requirements-build.lock"


def stamp(level: str) -> Path:
    return VENV / f".ticktape-{level}"


def wanted(level: str) -> str:
    """What the environment depends on, in one line: another text means that it must be renewed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    parts = [str(ROOT), sys.version, repr([project["build-system"], project["project"]])]
    parts += [(ROOT / name).read_text(encoding="utf-8") for name in (LOCKS[level], BUILD_LOCK)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def is_ready(level: str) -> bool:
    return stamp(level).is_file() and stamp(level).read_text() == wanted(level)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait for another `make` that is installing into the same .venv."""
    VENV.mkdir(exist_ok=True)
    with (VENV / ".lock").open("w") as lock:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*command: str | Path, **environ: str) -> None:
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"That failed: {' '.join(str(part) for part in command)}")


def is_usable() -> bool:
    """Whether .venv was made at this place, runs, and has this Python or is not ours to renew."""
    activate, cfg = BIN / "activate", VENV / "pyvenv.cfg"
    if not (activate.is_file() and str(VENV) in activate.read_text() and cfg.is_file()):
        return False
    asks = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    if subprocess.run([PYTHON, "-c", asks], capture_output=True, check=False).returncode:
        return False
    ours = any(stamp(level).is_file() for level in LOCKS)
    return not ours or f"version = {sys.version.split()[0]}\n" in cfg.read_text()


def make_venv() -> None:
    for child in VENV.iterdir():
        if child.name != ".lock":
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    made = subprocess.run(
        [sys.executable, "-m", "venv", VENV], stdin=subprocess.DEVNULL, check=False
    )
    if made.returncode:
        raise SystemExit(
            "This Python cannot make a virtual environment.\n"
            "  → On Debian and Ubuntu: apt install python3-venv. Or name another Python:"
            " make PYTHON=/path/to/python3.12 …"
        )


def install(level: str) -> None:
    pip = [PYTHON, "-m", "pip", "-qq", "--no-input", "--disable-pip-version-check", "install"]
    run(*pip, "--require-hashes", "--no-deps", "-r", LOCKS[level])
    # The build tool is needed for a second and stays out of the environment. pip's own isolation
    # would fetch it without looking at a hash.
    with tempfile.TemporaryDirectory(prefix="ticktape-build-") as build:
        run(*pip, "--require-hashes", "--no-deps", "--target", build, "-r", BUILD_LOCK)
        run(*pip, "--no-deps", "--no-build-isolation", "--editable", ".", PYTHONPATH=build)


def main(level: str) -> None:
    with one_at_a_time():
        if not is_ready(level):
            count = sum(line[:1].isalnum() for line in (ROOT / LOCKS[level]).open(encoding="utf-8"))
            print(
                f"Installing ticktape and {count} packages into .venv"
                " (the first time this takes about a minute) …",
                flush=True,
            )
            if not is_usable():
                make_venv()
            for each in LOCKS:
                stamp(each).unlink(missing_ok=True)
            install(level)
            # The test lock holds all of the runtime lock in the same versions (tests/test_tidy.py).
            for each in ["runtime"] if level == "runtime" else list(LOCKS):
                stamp(each).write_text(wanted(each))
            print("Installed.", flush=True)
        stamp(level).touch()


if __name__ == "__main__":
    main(sys.argv[1])
