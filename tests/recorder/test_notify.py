"""What the service manager hears, on a socket as it would listen at."""

import contextlib
import socket
import sys

import pytest

from ticktape.recorder.notify import Notifier

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="the system knows no Unix sockets"
)


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)

    def heard(self):
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self._socket.recv(4096).decode())
        return found

    def close(self):
        self._socket.close()


class Moving:
    """A clock that stands where it is set."""

    def __init__(self):
        self.now_ns = 1_000_000_000

    def __call__(self):
        return self.now_ns


@pytest.fixture
def address(tmp_path):
    return str(tmp_path / "notify")


@pytest.fixture
def manager(address):
    with contextlib.closing(Manager(address)) as opened:
        yield opened


def notifier_of(address, **more):
    return contextlib.closing(Notifier(address, **more))


def test_a_manager_hears_start_status_and_end(manager, address):
    with notifier_of(address) as notifier:
        notifier.ready()
        notifier.status("sip receiving")
        notifier.stopping()
        assert notifier.is_there
    assert manager.heard() == ["READY=1", "STATUS=sip receiving", "STOPPING=1"]


def test_the_same_status_is_sent_once(manager, address):
    with notifier_of(address) as notifier:
        for words in ("a", "a", "b", "a"):
            notifier.status(words)
    assert manager.heard() == ["STATUS=a", "STATUS=b", "STATUS=a"]


def test_whoever_is_leaving_is_not_taken_for_dead(manager, address):
    with notifier_of(address, watchdog_ns=30_000_000_000) as notifier:
        notifier.stopping()
    assert manager.heard() == ["STOPPING=1", "WATCHDOG_USEC=86400000000"]


def test_words_with_line_ends_say_nothing_else_to_the_manager(manager, address):
    with notifier_of(address) as notifier:
        notifier.status("down:\nMAINPID=1\r\nREADY=1")
        notifier.status("x" * 10_000)
    first, second = manager.heard()
    assert first == "STATUS=down: MAINPID=1 READY=1"
    assert len(second) < 1_000


def test_signs_of_life_come_three_times_as_often_as_the_watchdog_wants(manager, address):
    moving = Moving()
    with notifier_of(address, watchdog_ns=30_000_000_000, monotonic_ns=moving) as notifier:
        for _ in range(300):  # thirty seconds in tenths
            notifier.alive()
            moving.now_ns += 100_000_000
    assert manager.heard() == ["WATCHDOG=1"] * 3


def test_without_a_watchdog_there_are_no_signs_of_life(manager, address):
    with notifier_of(address) as notifier:
        notifier.alive()
    assert manager.heard() == []


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"WATCHDOG_USEC": "30000000"}, ["READY=1", "WATCHDOG=1"]),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "77"}, ["READY=1", "WATCHDOG=1"]),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "78"}, ["READY=1"]),
        ({"WATCHDOG_USEC": "soon"}, ["READY=1"]),
        ({}, ["READY=1"]),
    ],
    ids=["for all", "for us", "for another process", "no number", "none"],
)
def test_the_environment_says_whom_the_watchdog_means(manager, address, environ, wanted):
    environ = {"NOTIFY_SOCKET": address, **environ}
    with contextlib.closing(Notifier.of_environment(environ, pid=77)) as notifier:
        notifier.ready()
        notifier.alive()
    assert manager.heard() == wanted


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's own")
def test_a_manager_may_have_an_abstract_name(tmp_path):
    name = f"@{tmp_path}"
    with contextlib.closing(Manager(name)) as manager, notifier_of(name) as notifier:
        notifier.ready()
        assert manager.heard() == ["READY=1"]


def test_without_a_manager_nothing_is_told_and_nothing_fails(tmp_path):
    for address in ("", str(tmp_path / "nobody")):
        with notifier_of(address, watchdog_ns=1) as notifier:
            notifier.ready()
            notifier.alive()
            notifier.stopping()
            notifier.close()
            notifier.status("after the end")
            assert not notifier.is_there


def test_a_manager_that_does_not_listen_holds_nothing_up(manager, address):
    with notifier_of(address) as notifier:
        for number in range(5_000):  # more than a socket's buffer takes
            notifier.status(f"{number} " + "x" * 400)
    assert manager.heard(), "the first ones came"
