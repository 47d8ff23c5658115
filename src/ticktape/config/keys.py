"""A venue's key and secret: where they may stand, and how they are read from there.

They never stand in a TOML file, in an error, in a `repr` or in what a run writes; nothing here may
put a value it has read into a message.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ticktape.errors import ConfigError

KEY_VARIABLE = "APCA_API_KEY_ID"
SECRET_VARIABLE = "APCA_API_SECRET_KEY"
LOGIN_VARIABLE = "MT5_LOGIN"
PASSWORD_VARIABLE = "MT5_PASSWORD"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
FORMS = '"env", "file:PATH", "credential:NAME" or "keyring:SERVICE"'

_FILE_BYTES_MAX = 65_536  # two short lines; whatever is longer is not a file of keys
_OTHERS_MAY = stat.S_IRWXG | stat.S_IRWXO
# What systemd hands to a service has an access list, which shows as rights of the group.
_CREDENTIAL = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]+")


LOGIN_VARIABLES = (LOGIN_VARIABLE, PASSWORD_VARIABLE)


class Keys(msgspec.Struct, frozen=True):
    """A key and its secret; shown nowhere, neither by `repr` nor by rich."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return "Keys(hidden)"

    def __rich_repr__(self) -> list[str]:  # type: ignore[override]
        return ["hidden"]


def is_keys_spec(spec: str) -> bool:
    """Whether `spec` says where keys are: env, file:PATH, credential:NAME or keyring:SERVICE."""
    place, colon, rest = spec.partition(":")
    if place == "credential":
        return bool(_CREDENTIAL.fullmatch(rest))
    return spec == "env" or (place in ("file", "keyring") and bool(colon) and bool(rest.strip()))


def read_keys(spec: str, environ: Mapping[str, str], *, label: str = "keys") -> Keys:
    """Read the keys from where `spec` says they are.

    `environ` is the environment, handed over because only the command line reads it; `label` names
    the feed in errors. A `file:` path that is relative counts from the working directory; the
    config has made it absolute.

    Raises:
        ConfigError: they are not there, not whole, or open to other users of the machine.
    """
    place, _, rest = spec.partition(":")
    if spec == "env":
        return _from_environment(environ, label)
    if place == "file" and rest:
        return _from_file(rest, environ, label)
    if place == "credential" and _CREDENTIAL.fullmatch(rest):
        return _from_credential(rest, environ, label)
    if place == "keyring" and rest:
        return _from_keyring(rest, label)
    raise ConfigError([f"{label}: keys must be {FORMS}"], hint="A key itself never stands here.")


def read_login(spec: str, environ: Mapping[str, str], *, label: str = "keys") -> Keys:
    """Login and password of a MetaTrader 5 account, as `read_keys`.

    Both are empty when `spec` is "env" and the environment has neither: the terminal then is
    logged in already.

    Raises:
        ConfigError: as `read_keys`, or the login is no number.
    """
    if spec == "env":
        found = {name: environ.get(name, "").strip() for name in LOGIN_VARIABLES}
        if not any(found.values()):
            return Keys("", "")
        missing = [name for name in LOGIN_VARIABLES if not found[name]]
        if missing:
            raise ConfigError(
                [f"{label}: the environment has no {name}" for name in missing],
                hint="Set both, or neither where the terminal is logged in.",
            )
        keys = Keys(found[LOGIN_VARIABLE], found[PASSWORD_VARIABLE])
    else:
        keys = read_keys(spec, environ, label=label)
    if not keys.key.isdecimal():
        raise ConfigError(
            [f"{label}: the login is no number"],
            hint="First the account's number, then its password; an investor's will do.",
        )
    return keys


def _from_environment(environ: Mapping[str, str], label: str) -> Keys:
    missing = [
        name for name in (KEY_VARIABLE, SECRET_VARIABLE) if not environ.get(name, "").strip()
    ]
    if missing:
        raise ConfigError(
            [f"{label}: the environment has no {name}" for name in missing],
            hint='Set it, or name a file: keys = "file:~/.config/ticktape/keys" (mode 0600).',
        )
    return _checked(environ[KEY_VARIABLE], environ[SECRET_VARIABLE], label, "the environment")


def _from_credential(name: str, environ: Mapping[str, str], label: str) -> Keys:
    """Read what systemd's LoadCredential has put where only this service can read it."""
    folder = environ.get(CREDENTIALS_VARIABLE, "")
    if not folder:
        raise ConfigError(
            [f"{label}: there are no systemd credentials here ({CREDENTIALS_VARIABLE} is not set)"],
            hint="`ticktape service CONFIG` prints a unit that loads them.",
        )
    return _from_file(str(Path(folder, name)), environ, label, others=stat.S_IRWXO)


def _from_file(
    name: str, environ: Mapping[str, str], label: str, others: int = _OTHERS_MAY
) -> Keys:
    path = Path(name)
    home = environ.get("HOME") or environ.get("USERPROFILE")
    if path.parts[:1] == ("~",) and home:
        path = Path(home, *path.parts[1:])
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(
            [f"{label}: the file of keys {path} cannot be read: {error.strerror}"],
            hint="Write it with two lines, the key and the secret, and chmod 600 it.",
        ) from error
    if os.name == "posix" and mode & others:
        raise ConfigError(
            [f"{label}: other users of this machine may open the file of keys {path}"],
            hint=f"chmod 600 {path}",
        )
    # `from None`: the decoding error would carry the file's bytes along.
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([f"{label}: the file of keys {path} is not text"]) from None
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    named = dict(_assignment(line) for line in lines if "=" in line)
    if KEY_VARIABLE in named and SECRET_VARIABLE in named:
        return _checked(named[KEY_VARIABLE], named[SECRET_VARIABLE], label, str(path))
    if len(content) <= _FILE_BYTES_MAX and len(lines) == 2 and not named.keys() & _NAMES:
        return _checked(lines[0], lines[1], label, str(path))
    raise ConfigError(
        [f"{label}: the file of keys {path} does not hold one key and one secret"],
        hint=f"Two lines, the key and the secret; or {KEY_VARIABLE}=… and {SECRET_VARIABLE}=….",
    )


_NAMES = {KEY_VARIABLE, SECRET_VARIABLE}


def _assignment(line: str) -> tuple[str, str]:
    name, _, value = line.removeprefix("export ").partition("=")
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return name.strip(), value


def _from_keyring(service: str, label: str) -> Keys:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as error:
        raise ConfigError(
            [f"{label}: keys stand in the keyring, and the package `keyring` is not installed"],
            hint="pip install 'ticktape[keyring]', or use keys = \"env\".",
        ) from error
    try:
        key, secret = (keyring.get_password(service, name) for name in ("key", "secret"))
    except KeyringError as error:
        raise ConfigError(
            [f"{label}: the keyring does not open ({type(error).__name__})"],
            hint='Unlock it, or use keys = "env" where nobody is logged in.',
        ) from error
    if not key or not secret:
        raise ConfigError(
            [f"{label}: the keyring's service {service} has no `key` or no `secret`"],
            hint=f"keyring set {service} key; keyring set {service} secret",
        )
    return _checked(key, secret, label, f"the keyring's service {service}")


def _checked(key: str, secret: str, label: str, place: str) -> Keys:
    """Keys without the blanks and line ends that come along when one copies them."""
    key, secret = key.strip(), secret.strip()
    faults = [
        f"{label}: the {word} in {place} is empty or has characters that no {word} has"
        for word, value in (("key", key), ("secret", secret))
        if not (value.isascii() and value.isprintable() and value and " " not in value)
    ]
    if faults:
        raise ConfigError(faults, hint="Copy it again from the venue's page.")
    return Keys(key, secret)
