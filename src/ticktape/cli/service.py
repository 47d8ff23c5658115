"""`ticktape service`: a systemd unit that keeps the recorder of a config running."""

import getpass
import re
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

from ticktape.cli.terminal import errors, print_json
from ticktape.config import Config, is_packaged, load_config
from ticktape.errors import ConfigError

CREDENTIALS = Path("/etc/ticktape")
"""Where the unit looks for keys and for the file of environment variables."""

ENVIRONMENT = CREDENTIALS / "environment"

_SHARED_FOLDERS = (Path("/tmp"), Path("/var/tmp"))
_CREDENTIAL = re.compile(r"[A-Za-z0-9._-]+")
_PLAIN = re.compile(r"[A-Za-z0-9_@:,./+=-]+")

_UNIT = """\
# {target}
[Unit]
Description=ticktape records {name}
Wants=network-online.target
After=network-online.target time-sync.target
# A recorder that gave up at night would lose the night.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
User={user}
WorkingDirectory={folder}
ExecStart={start}
# `systemctl reload` takes over changed symbols without a new connection.
ExecReload=/bin/kill -HUP $MAINPID
{keys}
Restart=on-failure
RestartSec=5
# 2: the config is wrong, and would be wrong again.
RestartPreventExitStatus=2
WatchdogSec=60
# One signal to the recorder, which shuts down along the data's way; the rest takes no more than
# 150 s. What is longer is the proof, and `ticktape check` can make up for that.
KillMode=mixed
TimeoutStopSec=10min
# A reader that takes too much memory is started again; the capture goes on meanwhile.
OOMPolicy=continue
LimitNOFILE=65536
# Captures go before readers where there are more processes than CPUs.
LimitNICE=-10
UMask=0027

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths={directory}
ProtectHome=read-only
{private_tmp}PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


class _Keys(NamedTuple):
    """How the unit hands over the keys: its lines, what is to be done, and why it cannot be."""

    lines: list[str]
    steps: list[str]
    faults: list[str]


def service(config: Path, /, *, user: str | None = None, json: bool = False) -> int:
    """Print a systemd unit that records what a config says, from boot on.

    It starts again what dies, is watched by systemd, reads keys as systemd's credentials and may
    write nowhere but into the run's directory. Steps that remain are said on standard error.

    Example: `ticktape service ticktape.toml | sudo tee /etc/systemd/system/ticktape.service`

    Parameters
    ----------
    config
        The TOML file that the service will record.
    user
        Whose service it is; you, when it is not said. Not root: a recorder needs no such power.
    json
        Print one JSON object with the unit and the steps instead.
    """
    loaded = load_config(config)
    owner = user or getpass.getuser()
    if owner == "root":
        raise ConfigError(
            ["a recorder needs no root"],
            hint="Say --user NAME; `useradd --system ticktape` makes one.",
        )
    unit, steps = unit_of(loaded, config.absolute(), owner, sys.executable)
    if json:
        print_json({"unit": unit, "steps": steps})
        return 0
    sys.stdout.write(unit)
    sys.stdout.flush()
    for line in ("Then:", *(f"  {step}" for step in steps)):
        errors.print(line, markup=False)
    return 0


def unit_of(config: Config, path: Path, user: str, python: str) -> tuple[str, list[str]]:
    """The unit for a config in the file `path`, and the steps that make a service of it.

    Raises:
        ConfigError: the keys stand where no service finds them, or a path has a line end.
    """
    name = _unit_name(path)
    keys = _keys_of(config)
    directory = config.directory
    if keys.faults:
        hint = 'keys = "credential:NAME" takes them from systemd.'
        raise ConfigError(keys.faults, hint=hint)
    for each in (path, directory):
        if not str(each).isprintable():
            raise ConfigError([f"{str(each)!r} cannot stand in a unit"], hint="Rename it.")
    # One that is below /tmp would be hidden by a /tmp of its own.
    is_shared = any(folder in directory.parents for folder in _SHARED_FOLDERS)
    unit = _UNIT.format(
        target=f"/etc/systemd/system/{name}.service",
        name=_raw(str(path)),
        user=user,
        folder=_raw(str(path.parent)),
        start=" ".join(map(_word, (python, "-m", "ticktape", "record", str(path)))),
        keys="\n".join(keys.lines),
        directory=_word(str(directory), in_command=False),
        private_tmp="" if is_shared else "PrivateTmp=yes\n",
    )
    return unit, [*keys.steps, *_steps(directory, user, name)]


def _unit_name(path: Path) -> str:
    return "-".join(dict.fromkeys(("ticktape", re.sub(r"[^A-Za-z0-9_.]+", "-", path.stem))))


def _steps(directory: Path, user: str, name: str) -> list[str]:
    # systemd refuses to start what may write into a folder that is not there.
    made = (
        [] if directory.is_dir() else [f"sudo install -d -o {user} {shlex.quote(str(directory))}"]
    )
    return [*made, "sudo systemctl daemon-reload", f"sudo systemctl enable --now {name}"]


def _keys_of(config: Config) -> _Keys:
    found = _Keys([], [], [])
    seen: set[str] = set()
    for feed in config.feed:
        if feed.keys in seen:
            continue
        seen.add(feed.keys)
        place, _, rest = feed.keys.partition(":")
        if place == "credential":
            _add_credential(found, feed.name, rest)
        elif place == "keyring":
            found.faults.append(f"feed {feed.name!r}: a service has no keyring")
        elif place == "file":
            found.lines.append(f"# Feed {feed.name} reads its keys from a file of the user's.")
        # A terminal is logged in by itself, most often; to a package env is no keys.
        elif feed.kind != "mt5" and not is_packaged(feed.kind):
            found.lines.append(f'# Or, better: keys = "credential:{feed.name}" in the config.')
            found.lines.append(f"EnvironmentFile={ENVIRONMENT}")
            found.steps.append(
                f"write APCA_API_KEY_ID=… and APCA_API_SECRET_KEY=… into {ENVIRONMENT}, "
                "two lines, and chmod 600 it"
            )
    return found


def _add_credential(found: _Keys, feed: str, name: str) -> None:
    if not _CREDENTIAL.fullmatch(name):
        found.faults.append(f"feed {feed!r}: {name!r} is no name of a credential")
        return
    found.lines.append(f"LoadCredential={name}:{CREDENTIALS / name}")
    found.steps.append(
        f"write the key and the secret into {CREDENTIALS / name}, two lines, "
        "owned by root, and chmod 600 it"
    )


def _raw(text: str) -> str:
    """A text to a line's end: only what systemd would replace in it is escaped."""
    return text.replace("%", "%%")


def _word(text: str, *, in_command: bool = True) -> str:
    """One word of a list, as systemd reads it back."""
    escaped = _raw(text).replace("\\", "\\\\").replace('"', '\\"')
    if in_command:
        escaped = escaped.replace("$", "$$")
    return escaped if _PLAIN.fullmatch(text) else f'"{escaped}"'
