"""One short demo run that all verbs are tried on; nothing here writes to it."""

import pytest

from ticktape.cli import run


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The directory of a finished demo."""
    directory = tmp_path_factory.mktemp("cli") / "demo"
    assert run(["demo", "--seconds", "2", "--directory", str(directory)]) == 0
    return directory


@pytest.fixture
def said(capsys):
    """Run a verb: its exit code, and what it wrote to both outputs."""

    def call(*arguments):
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
