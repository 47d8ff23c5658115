"""What several tests share is made once, although they run in several workers."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHARING = """
import pathlib
import pytest

MADE = pathlib.Path(__file__).with_name("made")

@pytest.fixture(scope="module")
def dear():
    with MADE.open("a") as file:
        file.write("once ")

@pytest.mark.parametrize("number", range(6))
def test_it(dear, number):
    pass
"""


@pytest.mark.parametrize("modules", [1, 2])
def test_a_modules_fixture_is_made_in_one_worker_alone(tmp_path, modules):
    """The plugin that spreads tests once stopped to see what belongs together, and said nothing."""
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    for number in range(modules):
        (tmp_path / f"test_{number}.py").write_text(SHARING)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )

    assert (tmp_path / "made").read_text() == "once " * modules
