"""init, doctor, record and demo: what they refuse, and what they leave alone."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time

import psutil
import pytest
from filelock import FileLock

from ticktape.config import load_config

CHILDREN = 6  # of the demo's recorder: two captures, four readers


def test_init_writes_a_config_that_loads_and_says_what_comes_next(said, tmp_path):
    path = tmp_path / "mine.toml"
    code, out, _ = said("init", path, "--test")
    assert code == 0
    assert load_config(path).feed[0].trades == ("FAKEPACA",)
    assert f"ticktape record {path}" in out


def test_a_config_that_has_forgotten_a_feed_of_the_run_is_refused_before_anything_is_written(
    said, tmp_path, monkeypatch
):
    monkeypatch.setenv("APCA_API_KEY_ID", "demo-key")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "demo-secret")
    path = tmp_path / "mine.toml"
    assert said("init", path)[0] == 0
    (tmp_path / "tape" / "feeds" / "old" / "journal").mkdir(parents=True)
    code, _, err = said("record", path, "--for", "1s")
    assert code == 2
    assert "holds feed 'old', which this config has not" in err
    assert not (tmp_path / "tape" / "run.toml").exists()


@pytest.mark.parametrize("platform", ["win32", "linux"])
def test_init_for_a_terminal_says_what_comes_next_on_this_system(
    said, tmp_path, monkeypatch, platform
):
    monkeypatch.setattr("ticktape.cli.prepare.sys.platform", platform)
    path = tmp_path / "mine.toml"
    code, out, _ = said("init", path, "--mt5")
    assert code == 0
    assert load_config(path).feed[0].books == ("EURUSD",)
    assert "ticktape probe mt5" in out
    assert "APCA" not in out
    assert ("rpyc://" in out) == (platform != "win32")


def test_init_refuses_two_venues_at_once(said, tmp_path):
    code, _, err = said("init", tmp_path / "mine.toml", "--mt5", "--test")
    assert code == 2
    assert "two venues" in err
    assert list(tmp_path.iterdir()) == []


def test_init_never_replaces_a_file(said, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("kept")
    code, _, err = said("init", path)
    assert code == 2
    assert "left alone" in err
    assert path.read_text() == "kept"


def test_doctor_without_a_config_looks_at_the_machine(said):
    code, out, _ = said("doctor", "--json")
    found = json.loads(out.splitlines()[-1])
    assert {"python", "cpu", "clock", "scheduler", "disk"} <= {f["what"] for f in found["findings"]}
    assert code == (2 if found["faults"] else 0)


def test_doctor_says_what_each_way_to_sync_costs_and_what_power_loss_takes(said, tmp_path):
    path = write_config(tmp_path / "mine.toml")
    path.write_text(path.read_text() + "[journal]\ncommit_ms = 200\n")
    _, out, _ = said("doctor", path, "--json")
    found = json.loads(out.splitlines()[-1])
    words = [each["words"] for each in found["findings"] if each["what"] == "fsync"]
    assert [each.split(":")[0].split(" (")[0] for each in words] == [
        f'sync = "{sync}"' for sync in ("group", "each", "os")
    ]
    cost = found["sync"]
    assert cost["power_loss_ms"]["group"] >= 200
    assert (cost["power_loss_ms"]["each"], cost["power_loss_ms"]["os"]) == (0, None)
    assert 0 < cost["sync_us"]["p50"] <= cost["sync_us"]["p99"] and cost["syncs_per_s"] > 0
    assert sum("(advised here)" in each for each in words) == 1
    assert not list(tmp_path.glob(".ticktape-doctor*"))


def write_config(path, **changes):
    feed = {"name": "a", "kind": "alpaca", "url": "ws://127.0.0.1:1/v2/sip"} | changes
    lines = [f"{key} = {json.dumps(value)}" for key, value in feed.items()]
    path.write_text("[[feed]]\n" + "\n".join(lines) + '\ntrades = ["*"]\n')
    return path


def test_doctor_finds_missing_keys_a_closed_port_and_a_broken_strategy(said, tmp_path):
    path = write_config(tmp_path / "mine.toml")
    (tmp_path / "broken.py").write_text("raise ValueError('planted')\n")
    path.write_text(path.read_text() + '[[decide]]\nfile = "broken.py"\n[journal]\nsync = "os"\n')
    code, out, _ = said("doctor", path, "--json")
    levels = {}
    for finding in json.loads(out.splitlines()[-1])["findings"]:
        levels.setdefault(finding["what"], []).append(finding["level"])
    assert code == 2
    assert levels["keys"] == ["fault", "fault"]
    assert levels["network"] == levels["strategy"] == ["fault"]
    assert levels["journal"] == ["note"]
    _, out, _ = said("doctor", path)
    assert "4 faults to mend before recording" in out.splitlines()[-1]


@pytest.fixture
def of_terminal(said, tmp_path, monkeypatch):
    """What doctor finds of a feed whose terminal is `terminal`: (what, level) -> words."""
    for name in ("MT5_LOGIN", "MT5_PASSWORD"):
        monkeypatch.delenv(name, raising=False)

    def ask(terminal):
        path = tmp_path / "mine.toml"
        text = f'[[feed]]\nname = "a"\nkind = "mt5"\nterminal = {json.dumps(str(terminal))}\n'
        path.write_text(text + 'books = ["RIZ6"]\n')
        _, out, _ = said("doctor", path, "--json")
        findings = json.loads(out.splitlines()[-1])["findings"]
        wanted = ("keys", "terminal", "network")
        return {(f["what"], f["level"]): f["words"] for f in findings if f["what"] in wanted}

    return ask


def test_doctor_misses_the_terminals_package_and_program(of_terminal, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "MetaTrader5", None)
    found = of_terminal("module")
    assert "cannot be imported" in found["terminal", "fault"]
    monkeypatch.setitem(sys.modules, "MetaTrader5", sys)
    assert ("terminal", "fault") not in of_terminal("module")
    assert "there is no" in of_terminal(tmp_path / "terminal64.exe")["terminal", "fault"]
    (tmp_path / "terminal64.exe").touch()
    assert ("terminal", "fault") not in of_terminal(tmp_path / "terminal64.exe")


def test_doctor_tries_the_port_of_a_bridge_and_wants_it_on_this_machine(of_terminal, monkeypatch):
    pytest.importorskip("rpyc")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = of_terminal(f"rpyc://127.0.0.1:{port}")
    assert found.keys() == {("keys", "ok"), ("terminal", "ok"), ("network", "ok")}
    assert "does not answer" in of_terminal(f"rpyc://127.0.0.1:{port}")["network", "fault"]
    monkeypatch.setattr("ticktape.cli.doctor.socket.create_connection", lambda *_, **__: server)
    found = of_terminal("rpyc://192.0.2.1:18812")
    assert "not on this machine" in found["network", "note"]


def test_doctor_says_whether_a_terminal_is_logged_in_by_us(of_terminal, monkeypatch):
    assert "has no login" in of_terminal("module")["keys", "ok"]
    monkeypatch.setenv("MT5_LOGIN", "4711")
    assert "MT5_PASSWORD" in of_terminal("module")["keys", "fault"]
    monkeypatch.setenv("MT5_PASSWORD", "s3cr3t")
    words = of_terminal("module")["keys", "ok"]
    assert "has a login" in words
    assert "4711" not in words and "s3cr3t" not in words


def test_record_reports_all_faults_of_a_config_together(said, tmp_path):
    path = write_config(tmp_path / "mine.toml", kind="nosuch", encoding="xml", nosuch=1)
    code, _, err = said("record", path)
    assert code == 2
    for word in ("3 faults", "kind", "encoding", "nosuch"):
        assert word in err


@pytest.mark.parametrize("wrong", [["--for", "soon"], ["--until", "late"]])
def test_record_refuses_a_time_that_is_none(said, tmp_path, wrong):
    code, _, err = said("record", write_config(tmp_path / "mine.toml"), *wrong)
    assert code == 2
    assert wrong[1] in err


def test_record_refuses_a_directory_in_which_another_records(said, tmp_path, monkeypatch):
    monkeypatch.setenv("APCA_API_KEY_ID", "key")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "secret")
    (tmp_path / "tape").mkdir()
    with FileLock(tmp_path / "tape" / "run.lock"):
        code, _, err = said("record", write_config(tmp_path / "mine.toml"), "--for", "1s")
    assert code == 3
    assert "another ticktape records" in err


def test_demo_leaves_alone_what_is_no_run(said, tmp_path):
    (tmp_path / "thesis.txt").write_text("kept")
    code, _, err = said("demo", "--directory", tmp_path, "--seconds", "2")
    assert code == 2
    assert "left alone" in err
    assert (tmp_path / "thesis.txt").read_text() == "kept"


def test_demo_leaves_alone_a_run_that_is_at_work(said, tmp_path):
    (tmp_path / "run.toml").write_text("")
    with FileLock(tmp_path / "run.lock"):
        code, _, err = said("demo", "--directory", tmp_path, "--seconds", "2")
    assert code == 3
    assert "another ticktape" in err
    assert (tmp_path / "run.toml").exists()


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "1e9"])
def test_demo_refuses_a_length_that_is_none(said, seconds):
    assert said("demo", "--seconds", seconds)[0] == 2


def are_at_work(demo):
    """Whether every process of a demo's recorder has its place, by its lock, and can be seen."""
    with contextlib.suppress(psutil.Error):
        children = [
            each
            for each in psutil.Process(demo.pid).children()
            if "ticktape.recorder.child" in each.cmdline()
        ]
        locks = [any(f.path.endswith("lock") for f in each.open_files()) for each in children]
        return len(children) >= CHILDREN and all(locks)
    return False


def test_demo_replaces_one_that_was_killed_and_ends_with_the_equation(
    said, tmp_path, monkeypatch, be_patient
):
    place = ["--directory", str(tmp_path / "demo")]
    command = [sys.executable, "-m", "ticktape", "demo", *place, "--seconds", "60"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        while not are_at_work(first):
            assert first.poll() is None
            time.sleep(0.05)
        first.kill()
    be_patient(monkeypatch)
    code, out, err = said("demo", *place, "--seconds", "1")
    assert code == 0, out + err
    lines = out.splitlines()
    assert lines[-1].startswith("COMPLETE  received ")  # and images as long as it lasted
    assert any(line.split()[:4] == ["sip", "alpaca", "36,234", "36,234"] for line in lines)
    assert any(line.startswith("stored ") for line in lines)
    assert [entry for entry in os.listdir(tmp_path) if entry != "demo"] == []
