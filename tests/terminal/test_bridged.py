"""A recorder over real rpyc servers: killed, hung or of another version, it says so and goes on."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter

import pytest

pytestmark = pytest.mark.timeout(900)

# What a server of rpyc 5.3.1 sends to a client of 6.0.2 (tests/feeds/mt5/test_bridge.py).
RPYC_5_ANSWER = bytes.fromhex("000000080012515011521151020a")


@pytest.fixture(scope="module")
def old_server():
    """A plain server that answers as an older rpyc does."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(4_096)
                connection.sendall(RPYC_5_ANSWER)

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


def has(run, name, count):
    """Whether so many images of both books are journaled."""
    found = Counter(image.symbol for image in run.images(name))
    return min(found["X"], found["Y"]) >= count


@pytest.fixture(scope="module")
def recorded(simulate, start_run, feed_text, folder, old_server):
    pytest.importorskip("rpyc")
    books = ("--book", "X=generated:levels=10,rate=100", "--book", "Y=generated:levels=5,rate=50")
    names = ("pushed", "asked", "killed", "hung")
    sims = {name: simulate("mt5", folder / name, *books, "--rpyc-port", "0") for name in names}
    ports = {name: sim.ready["rpyc_port"] for name, sim in sims.items()}
    more = dict.fromkeys(names, "poll_ms = 5")
    more["asked"] += "\npush = false"
    more["hung"] += "\nhang_s = 1.5"  # of it alone: on a busy machine any may be as slow once
    text = "".join(
        feed_text(
            name, f"rpyc://127.0.0.1:{ports[name]}", books=["X", "Y"], ticks=["X"], more=more[name]
        )
        for name in names
    )
    text += feed_text("old", f"rpyc://127.0.0.1:{old_server}", books=["X"])
    run = start_run(text, "bridged")
    run.until_ready(*names)
    run.go_on(1.5)
    run.until(lambda: all(has(run, name, 20) for name in names), "there are some of each")
    os.kill(sims["killed"].ready["rpyc_pid"], signal.SIGKILL)
    os.kill(sims["hung"].ready["rpyc_pid"], signal.SIGSTOP)
    run.until(lambda: run.words("killed", "down"), "the killed one is missed")
    run.until(lambda: run.words("hung", "down"), "the hung one is given up")
    again = subprocess.Popen(
        [sys.executable, "-m", "ticktape.sim.mt5.bridge", str(ports["killed"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TICKTAPE_SIM_MT5": str(folder / "killed")},
    )
    run.go_on(2)
    os.kill(sims["hung"].ready["rpyc_pid"], signal.SIGCONT)
    for name in ("killed", "hung"):
        what = f"{name} is recorded again"
        run.until(lambda name=name: len(run.words(name, "subscribed")) >= 2, what)
    run.go_on(2)
    run.until(lambda: all(has(run, name, 51) for name in names), "there are enough of each")
    run.stop()
    again.stdin.close()
    again.wait(240)
    again.stdout.close()
    paths = {name: sim.ready["path"] for name, sim in sims.items()}
    return run, run.prove(), paths


def feed_of(verdict, name):
    return next(feed for feed in verdict.feeds if feed.name == name)


@pytest.mark.parametrize("name", ["pushed", "asked", "killed", "hung"])
def test_every_image_is_a_true_state_and_all_are_in_the_table(recorded, truth_of, matched, name):
    run, verdict, paths = recorded
    for symbol in ("X", "Y"):
        images = [image for image in run.images(name) if image.symbol == symbol]
        assert len(images) > 50
        cut = [at for at, image in enumerate(images) if image.marks & 2] or [0]
        for begin, end in zip([0, *cut], [*cut, len(images)], strict=True):
            matched(truth_of(paths[name], symbol), images[begin:end])
    assert all(count.adds_up for count in feed_of(verdict, name).counts)


def test_undisturbed_ones_are_without_a_gap(recorded):
    _, verdict, _ = recorded
    for name in ("pushed", "asked"):
        # A machine that stands still for two seconds makes a gap of it, and is named for it.
        words = ("passed between two polls", "ms for a call")
        for gap in feed_of(verdict, name).gaps:
            stood_still = gap.cause.endswith(words) and gap.to_ns - gap.from_ns >= 2e9
            assert stood_still or not gap.counts
        assert all("gap" in reason for reason in feed_of(verdict, name).reasons())


def test_killed_and_hung_servers_are_gaps_with_clear_words_and_recorded_again(recorded):
    run, verdict, _ = recorded
    assert "bridge" in run.words("killed", "down")[0]
    assert "for 2 s" in run.words("hung", "down")[0] or "1.5 s" in run.words("hung", "down")[0]
    for name in ("killed", "hung"):
        gaps = [gap for gap in feed_of(verdict, name).gaps if gap.counts]
        assert gaps and all(gap.to_ns is not None for gap in gaps)


def test_server_of_another_major_version_is_refused_and_says_what_to_do(recorded):
    run, _, _ = recorded
    (words,) = run.words("old", "refused")
    assert "another major version" in words
    assert "capture-old" in run.end.refused


def test_clock_maps_of_every_stamp_are_in_the_journal(recorded):
    import msgspec

    from ticktape import mt5
    from ticktape.journal.reader import Reader
    from ticktape.records import EntryKind

    run, _, _ = recorded
    maps, used = set(), set()
    with Reader(run.directory.feed_journal("pushed"), None) as reader:
        while blocks := reader.read():
            for block in blocks:
                for kind, payload in block.entries():
                    if kind == EntryKind.NOTE:
                        maps |= {msgspec.json.decode(payload).get("clock_map", {}).get("number")}
                    elif kind == EntryKind.BINARY and payload[0] != mt5.Form.TICKS:
                        used.add(mt5.unpack_image(payload, 0).remote.clock_map)
    assert used and used <= maps
