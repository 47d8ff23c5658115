"""Takes an earlier demo out of the way; never anything that is not a run, and none at work."""

import shutil
from pathlib import Path

from ticktape import clock
from ticktape.cli.terminal import errors
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError, Locked
from ticktape.recorder.turn import is_locked

_WAIT_S = 15.0
_LOOK_S = 0.05


def clear(root: Path) -> None:
    """Remove the run in the folder `root`, if there is one.

    The children of a demo that was killed finish their work by themselves: they are waited for,
    because they would else write into the new run.

    Raises:
        ConfigError: what is there is no run.
        Locked: a recorder is at work there.
    """
    root = root.resolve()
    if not root.exists():
        return
    directory = RunDirectory(root)
    ours = directory.config.is_file() or directory.lock.is_file()
    if not root.is_dir() or (any(root.iterdir()) and not ours):
        raise ConfigError(
            [f"{root} exists and is not a run of ticktape; it is left alone"],
            hint="Name another: ticktape demo --directory …",
        )
    if is_locked(directory.lock):
        raise Locked(
            f"{root}: another ticktape records into this directory",
            hint="Wait for it, or name another: ticktape demo --directory …",
        )
    _wait_for_orphans(root)
    # Out of the way first: removing takes longer than renaming, and may be held up.
    aside = root.with_name(f".{root.name}.{clock.wall_now_ns()}.old")
    try:
        root.rename(aside)
    except OSError:
        aside = root  # Windows renames nothing that is open elsewhere
    shutil.rmtree(aside, ignore_errors=aside != root)


def _wait_for_orphans(root: Path) -> None:
    until_ns = clock.monotonic_ns() + int(_WAIT_S * clock.NS_PER_S)
    said = False
    while any(is_locked(lock) for lock in root.rglob("*.lock")):
        if clock.monotonic_ns() > until_ns:
            raise Locked(
                f"{root}: an earlier demo was killed and its processes still finish",
                hint="Wait a moment, or name another: ticktape demo --directory …",
            )
        if not said:
            errors.print("an earlier demo was killed; waiting for its processes to finish")
            said = True
        clock.sleep_s(_LOOK_S)
