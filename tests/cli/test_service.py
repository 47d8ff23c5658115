"""The unit that `ticktape service` prints: what systemd makes of it, and whose keys it reads."""

import configparser
import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ticktape.cli.service import unit_of
from ticktape.config import parse_config
from ticktape.errors import ConfigError

CONFIG = """
directory = "tape"
[[feed]]
name = "sip"
kind = "alpaca"
url = "wss://stream.data.alpaca.markets/v2/sip"
trades = ["AAPL"]
"""


def config_in(folder, keys="env", more=""):
    """The config, its feeds' keys standing where `keys` says, also where no config may say so."""
    config = parse_config(CONFIG + more, "the test's config", folder)
    feeds = tuple(msgspec.structs.replace(feed, keys=keys) for feed in config.feed)
    return msgspec.structs.replace(config, feed=feeds)


def unit_in(folder, keys="env", name="ticktape.toml"):
    return unit_of(config_in(folder, keys), folder / name, "daemon", sys.executable)


def read(unit):
    """The unit's sections; systemd's format is that of an INI file."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    parser.optionxform = str
    parser.read_string(unit)
    return parser


def verified(unit, folder):
    """What systemd says of a unit; empty when it has no complaint."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    path = folder / "ticktape.service"
    path.write_text(unit)
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    complaints = [line for line in ran.stderr.splitlines() if "ticktape" in line]
    return ran.returncode, complaints


@pytest.mark.parametrize("keys", ["env", "credential:sip", "file:/home/me/keys"])
def test_systemd_has_no_complaint_about_the_unit(keys, tmp_path):
    unit, _ = unit_in(tmp_path, keys)
    assert verified(unit, tmp_path) == (0, [])


def test_systemd_reads_paths_with_blanks_and_signs_of_its_own(tmp_path):
    folder = tmp_path / "50 % of $HOME"
    folder.mkdir()
    unit, _ = unit_in(folder)
    assert verified(unit, tmp_path) == (0, [])
    start = read(unit)["Service"]["ExecStart"]
    assert start.endswith(f'"{folder}/ticktape.toml"'.replace("%", "%%").replace("$", "$$"))


def test_the_service_tells_systemd_of_itself_and_is_started_again(tmp_path):
    service = read(unit_in(tmp_path)[0])["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["KillMode"] == "mixed"
    assert service["OOMPolicy"] == "continue"
    assert service["ReadWritePaths"] == str(tmp_path / "tape")


def test_a_run_below_tmp_is_not_hidden_by_a_private_one():
    with_own = read(unit_in(Path("/srv/tape"))[0])["Service"]
    assert with_own["PrivateTmp"] == "yes"
    assert "PrivateTmp" not in read(unit_in(Path("/tmp/tape"))[0])["Service"]


def test_keys_are_credentials_and_never_stand_in_the_unit(tmp_path):
    unit, steps = unit_in(tmp_path, "credential:sip")
    assert read(unit)["Service"]["LoadCredential"] == "sip:/etc/ticktape/sip"
    assert "Environment" not in unit
    assert any("/etc/ticktape/sip" in step and "chmod 600" in step for step in steps)


def test_keys_of_the_environment_come_from_a_file_of_root(tmp_path):
    unit, steps = unit_in(tmp_path, "env")
    assert read(unit)["Service"]["EnvironmentFile"] == "/etc/ticktape/environment"
    assert 'keys = "credential:sip"' in unit
    assert any("APCA_API_KEY_ID" in step for step in steps)


def test_feeds_that_share_their_keys_load_them_once(tmp_path):
    more = CONFIG.partition("[[feed]]")[2].replace('"sip"', '"other"')
    config = config_in(tmp_path, "credential:alpaca", f"[[feed]]{more}")
    unit, _ = unit_of(config, tmp_path / "ticktape.toml", "daemon", sys.executable)
    assert unit.count("LoadCredential=") == 1


@pytest.mark.parametrize("keys", ["keyring:alpaca", "credential:../shadow", "credential:a b"])
def test_keys_that_no_service_can_read_are_a_fault(keys, tmp_path):
    with pytest.raises(ConfigError, match="sip"):
        unit_in(tmp_path, keys)


def test_a_path_with_a_line_end_adds_no_line_to_the_unit(tmp_path):
    with pytest.raises(ConfigError, match="cannot stand in a unit"):
        unit_in(tmp_path, name="a\nExecStartPre=+rm.toml")


@pytest.mark.parametrize(
    ("name", "unit"), [("ticktape.toml", "ticktape"), ("us stocks.toml", "ticktape-us-stocks")]
)
def test_the_service_is_called_after_its_config(name, unit, tmp_path):
    assert unit_in(tmp_path, name=name)[1][-1] == f"sudo systemctl enable --now {unit}"


def test_a_folder_that_is_missing_is_a_step_before_the_start(tmp_path):
    assert f"sudo install -d -o daemon {tmp_path / 'tape'}" in unit_in(tmp_path)[1]
    (tmp_path / "tape").mkdir()
    assert not [step for step in unit_in(tmp_path)[1] if "install" in step]


# The verb.


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "ticktape.toml"
    path.write_text(CONFIG)
    return path


def test_the_unit_alone_goes_to_standard_output(said, written):
    code, out, err = said("service", written, "--user", "daemon")
    assert code == 0
    assert out.startswith("# /etc/systemd/system/ticktape.service\n[Unit]\n")
    assert out.rstrip().endswith("WantedBy=multi-user.target")
    assert "sudo systemctl enable --now ticktape" in err


def test_json_has_the_unit_and_the_steps(said, written):
    _, out, _ = said("service", written, "--user", "daemon", "--json")
    assert json.loads(out).keys() == {"unit", "steps"}


def test_a_service_of_root_is_refused(said, written):
    code, _, err = said("service", written, "--user", "root")
    assert code == 2
    assert "--user NAME" in err


def test_a_config_may_say_that_keys_are_a_credential(said, written):
    written.write_text(CONFIG + 'keys = "credential:sip"\n')
    code, out, _ = said("service", written, "--user", "daemon")
    assert code == 0
    assert "LoadCredential=sip:/etc/ticktape/sip\n" in out
