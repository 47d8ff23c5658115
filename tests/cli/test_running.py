"""What SIGHUP means: read the config again, unless it says that our terminal is gone."""

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("termios", reason="this system has no terminals of that kind")

# A terminal of its own, as a shell's first program has it.
BEGIN = """
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
{}
from ticktape.cli.running import _catch_hangup
changed = _catch_hangup()
print("up", flush=True)
print("changed" if changed.wait(240) else "waited in vain", flush=True)
"""


@pytest.fixture
def child():
    """Start a child on a terminal; with it, what closes the terminal."""
    started = []

    def start(begin=""):
        ours, its = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN.format(begin)],
            stdin=its,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        os.close(its)
        started.append(process)
        assert process.stdout.readline() == "up\n"
        return process, lambda: os.close(ours)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_sighup_asks_for_the_config_to_be_read_again(child):
    process, close_terminal = child()
    process.send_signal(signal.SIGHUP)

    assert process.communicate(timeout=240)[0] == "changed\n"
    close_terminal()


def test_the_end_of_our_terminal_still_ends_us(child):
    # Said, since the suite itself may run under nohup.
    process, close_terminal = child("signal.signal(signal.SIGHUP, signal.SIG_DFL)")
    close_terminal()

    assert process.wait(240) == -signal.SIGHUP


def test_under_nohup_the_end_of_our_terminal_is_survived(child):
    process, close_terminal = child("signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    close_terminal()

    assert process.communicate(timeout=240)[0] == "changed\n"
