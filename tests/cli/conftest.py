"""One short demo run that all verbs are tried on; nothing here writes to it."""

import pytest

import ticktape
from ticktape.cli import clearing, run, venue
from ticktape.recorder import supervisor

PATIENCE_S, SETTLE_S = 240.0, 2.0
IMAGES_MIN = 100  # of the demo's book, of which there are thousands on a machine that has time


@pytest.fixture(scope="session")
def be_patient():
    """Give a recorder's processes as long as they need, which on a busy machine is longer.

    That who does not leave in time is cut off is asked elsewhere.
    """

    def patch(to):
        for name in ("_FEEDS_LEAVE_S", "_READERS_LEAVE_S", "DECISIONS_LEAVE_S"):
            to.setattr(supervisor, name, PATIENCE_S)
        to.setattr(clearing, "_WAIT_S", PATIENCE_S)
        to.setattr(venue, "_OTHERS_NS", int(PATIENCE_S * 1_000_000_000))
        to.setattr(venue, "_SETTLE_NS", int(SETTLE_S * 1_000_000_000))

    return patch


@pytest.fixture(scope="session")
def demo(tmp_path_factory, be_patient):
    """The directory of a finished demo; of a longer one if the terminal's feed came up too late."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patched:
        be_patient(patched)
        for seconds in ("2", "10", "30"):
            directory = folder / seconds / "demo"
            assert run(["demo", "--seconds", seconds, "--directory", str(directory)]) == 0
            with ticktape.open(directory) as tape:
                images, ticks = tape.books("BTCUSDT").num_rows, tape.ticks("BTCUSDT").num_rows
            if images > IMAGES_MIN and ticks:
                break
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
