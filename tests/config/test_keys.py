"""Keys are read from where the config says, whole or not at all, and are shown nowhere."""

import os
import pickle
import sys
import types

import pytest
from rich.console import Console

from ticktape.config import Keys, read_keys, read_login
from ticktape.errors import ConfigError

KEY = "PK7PLANTEDKEY0123456"
SECRET = "s3cr3tPLANTEDk9Q2w7Zx41vB8nM6pL0aRtYuIo5"
ENVIRON = {"APCA_API_KEY_ID": KEY, "APCA_API_SECRET_KEY": SECRET}

posix = pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")


def refused(spec, environ=None):
    with pytest.raises(ConfigError) as caught:
        read_keys(spec, environ or {}, label='feed[1] "sip"')
    text = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert KEY not in text
    assert SECRET not in text
    assert 'feed[1] "sip": ' in text
    return text


def write(path, content, mode=0o600):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return f"file:{path}"


def test_keys_come_from_the_given_environment():
    keys = read_keys("env", ENVIRON)
    assert (keys.key, keys.secret) == (KEY, SECRET)


def test_each_missing_variable_is_named():
    text = refused("env", {"APCA_API_KEY_ID": " "})
    assert "no APCA_API_KEY_ID" in text
    assert "no APCA_API_SECRET_KEY" in text
    assert "no APCA_API_KEY_ID" not in refused("env", {"APCA_API_KEY_ID": KEY})


@pytest.mark.parametrize(
    "content",
    [
        f"{KEY}\n{SECRET}\n",
        f"\ufeff{KEY}\r\n{SECRET}",
        f"# alpaca\n\n  {KEY}\n  {SECRET}\n",
        f"APCA_API_KEY_ID={KEY}\nAPCA_API_SECRET_KEY={SECRET}\n",
        f"export APCA_API_SECRET_KEY='{SECRET}'\nOTHER=1\nexport APCA_API_KEY_ID=\"{KEY}\"\n",
    ],
)
def test_keys_come_from_a_file(tmp_path, content):
    assert read_keys(write(tmp_path / "keys", content), {}) == Keys(KEY, SECRET)


@pytest.mark.parametrize("mode", [0o400, 0o440])
def test_keys_come_from_a_credential_that_systemd_has_put_there(tmp_path, mode):
    write(tmp_path / "sip", f"{KEY}\n{SECRET}\n", mode)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_keys("credential:sip", environ) == Keys(KEY, SECRET)


def test_a_credential_without_a_service_manager_says_what_to_do():
    assert "ticktape service" in refused("credential:sip")


@posix
def test_a_credential_that_all_may_read_is_refused(tmp_path):
    write(tmp_path / "sip", f"{KEY}\n{SECRET}\n", 0o444)
    assert "chmod" in refused("credential:sip", {"CREDENTIALS_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize("name", ["", ".", "..", "../sip", "a/b", "a b"])
def test_a_credential_is_a_name_and_no_path(tmp_path, name):
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert "keys must be" in refused(f"credential:{name}", environ)


def test_a_secret_may_end_in_an_equals_sign(tmp_path):
    keys = read_keys(write(tmp_path / "keys", f"{KEY}\nabc=="), {})
    assert keys.secret == "abc=="


def test_tilde_is_the_home_of_the_given_environment(tmp_path):
    write(tmp_path / "keys", f"{KEY}\n{SECRET}")
    assert read_keys("file:~/keys", {"HOME": str(tmp_path)}) == Keys(KEY, SECRET)


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_file_that_others_may_open_is_refused_with_chmod(tmp_path, mode):
    text = refused(write(tmp_path / "keys", f"{KEY}\n{SECRET}", mode))
    assert f"chmod 600 {tmp_path / 'keys'}" in text


@posix
def test_a_file_that_only_its_owner_reads_is_accepted(tmp_path):
    assert read_keys(write(tmp_path / "keys", f"{KEY}\n{SECRET}", 0o400), {}).key == KEY


@pytest.mark.parametrize(
    "content",
    [
        "",
        KEY,
        f"{KEY}\n{SECRET}\nmore",
        f"APCA_API_KEY_ID={KEY}\n{SECRET}",
        f"APCA_API_SECRET_KEY={SECRET}\nAPCA_API_SECRET_KEY={SECRET}",
        f"{KEY}\n{SECRET} {SECRET}",
        f"{KEY}\n{SECRET}\x00",
        f"{KEY}\n" + "x" * 70_000,
        f"{KEY}\n{SECRET}".encode() + b"\xff",
    ],
)
def test_a_file_that_is_no_file_of_keys_is_refused_without_repeating_it(tmp_path, content):
    assert "keys" in refused(write(tmp_path / "keys", content))


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert str(tmp_path / "gone") in refused(f"file:{tmp_path / 'gone'}")
    assert "cannot be read" in refused(f"file:{tmp_path}")


@pytest.mark.parametrize("spec", ["", "file:", "keyring:", SECRET, f"env:{SECRET}", "File:x"])
def test_what_is_no_place_of_keys_is_refused_without_repeating_it(spec):
    assert '"env", "file:PATH", "credential:NAME" or "keyring:SERVICE"' in refused(spec)


def test_keyring_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert "ticktape[keyring]" in refused("keyring:alpaca")


@pytest.fixture
def keyring(monkeypatch):
    """A keyring as a table; a service `locked` raises as a real one does."""
    errors = types.ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})
    module = types.ModuleType("keyring")
    module.errors = errors
    held = {("alpaca", "key"): KEY, ("alpaca", "secret"): SECRET, ("half", "key"): KEY}

    def get_password(service, name):
        if service == "locked":
            raise errors.KeyringError("no backend")
        return held.get((service, name))

    module.get_password = get_password
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)


@pytest.mark.usefixtures("keyring")
def test_keys_come_from_the_keyring():
    assert read_keys("keyring:alpaca", {}) == Keys(KEY, SECRET)
    assert "keyring set half secret" in refused("keyring:half")
    assert "Unlock it" in refused("keyring:locked")


def test_keys_show_nothing_of_themselves():
    keys = Keys(KEY, SECRET)
    console = Console(record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(keys)
    for text in (repr(keys), str(keys), f"{keys}", f"{[keys]}", console.export_text()):
        assert "PLANTED" not in text


def test_keys_survive_the_pipe_to_a_child():
    assert pickle.loads(pickle.dumps(Keys(KEY, SECRET))) == Keys(KEY, SECRET)


# The account of a terminal.

LOGIN = {"MT5_LOGIN": "5000001", "MT5_PASSWORD": " pass wörd "}


def refused_login(spec, environ=None):
    with pytest.raises(ConfigError) as caught:
        read_login(spec, environ or {}, label='feed[1] "rts"')
    text = f"{caught.value} {caught.value.faults}"
    assert "PLANTED" not in text and "5000001" not in text and "wörd" not in text
    assert 'feed[1] "rts"' in text
    return text


def test_a_login_comes_from_the_given_environment():
    assert read_login("env", LOGIN) == Keys("5000001", "pass wörd")


def test_where_the_terminal_is_logged_in_no_login_is_needed():
    assert read_login("env", {}) == Keys("", "")
    assert read_login("env", {"MT5_LOGIN": " ", "APCA_API_KEY_ID": KEY}) == Keys("", "")


@pytest.mark.parametrize("name", LOGIN)
def test_half_a_login_is_refused_by_the_name_of_what_is_missing(name):
    (missing,) = LOGIN.keys() - {name}
    text = refused_login("env", {name: LOGIN[name]})
    assert f"the environment has no {missing}" in text and f"no {name}" not in text
    assert "or neither" in text


@pytest.mark.parametrize("login", ["investor", "5000001x", "-5", "12.5", "PLANTED"])
def test_a_login_that_is_no_number_is_refused_without_repeating_it(login):
    assert "the login is no number" in refused_login("env", LOGIN | {"MT5_LOGIN": login})


def test_a_login_comes_from_a_file_of_two_lines(tmp_path):
    assert read_login(write(tmp_path / "keys", "5000001\nsecret"), {}) == Keys("5000001", "secret")
    assert "login is no number" in refused_login(write(tmp_path / "swapped", "secret\n5000001"))


def test_alpacas_variables_are_no_login_and_a_login_is_no_key():
    assert read_login("env", ENVIRON) == Keys("", "")
    assert "no APCA_API_KEY_ID" in refused("env", LOGIN)


@pytest.mark.usefixtures("keyring")
def test_a_login_that_a_keyring_has_not_is_refused_like_a_key():
    assert "keyring set half secret" in refused_login("keyring:half")
