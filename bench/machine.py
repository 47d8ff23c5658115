"""What the figures were taken on: machine, versions, commit, day, and what else was going on."""

import os
import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("picows", "msgspec", "pyarrow", "duckdb", "deltalake")


def machine() -> dict[str, object]:
    """The facts, now."""
    return {
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "commit": _commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_1m": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _cpu() -> str:
    with suppress(OSError):  # another system than Linux
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str:
    """The commit, with a + when the code differs from it; "" outside a clone."""
    asked = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        said = subprocess.run(
            asked, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip()
