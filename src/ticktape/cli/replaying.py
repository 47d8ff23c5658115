"""`ticktape replay`: decide again from the journal, and compare."""

from pathlib import Path
from typing import TYPE_CHECKING

from ticktape import clock
from ticktape.cli.figures import printable
from ticktape.cli.terminal import console, print_json, print_line
from ticktape.config import load_config
from ticktape.directory import RunDirectory
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, ConfigError
from ticktape.replay.places import open_run
from ticktape.replay.rerun import (
    Pace,
    Rerun,
    inputs_by_receipt,
    new_runner,
    read_runs,
    rerun,
)

if TYPE_CHECKING:
    from ticktape.decisions import InputLog


def replay(
    directory: Path,
    /,
    *,
    speed: str = "max",
    decide: Path | None = None,
    class_name: str = "",
    json: bool = False,
) -> int:
    """Run the strategies again over what was recorded, in the order in which live saw it.

    Without --decide every strategy of the run decides again, and its decisions must equal the live
    ones bit for bit. With --decide another file decides over the same data.

    Parameters
    ----------
    directory
        The run's directory.
    speed
        max, or times the live pace: 1x, 10x.
    decide
        A strategy file to run instead.
    class_name
        Its class, when the file has several.
    json
        Print one JSON object instead.
    """
    run = open_run(directory)
    pace = Pace(_speed(speed))
    if decide is not None:
        results = [_other(run, decide, class_name, pace)]
        same = True
    else:
        results = _again(run, pace)
        same = not any(result.difference for result in results)
    if json:
        print_json({"same": same, "runs": [result._asdict() for result in results]})
    else:
        for result in results:
            _print(result, compare=decide is None)
    return EXIT_COMPLETE if same else EXIT_INCOMPLETE


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = -1.0
    if speed <= 0:
        raise ConfigError([f"--speed {text!r} is not a speed"], hint="Say max, 1x, 10x or 0.5x.")
    return speed


def _again(run: RunDirectory, pace: Pace) -> list[Rerun]:
    config = load_config(run.config)
    files = {each.name: each for each in config.decide}
    results = []
    for name in run.decisions():
        if name not in files:
            raise ConfigError(
                [f"strategy {name!r} has decisions and no file in {run.config}"],
                hint="Name its file: ticktape replay DIR --decide FILE",
            )
        each = files[name]
        for log in read_runs(run, name):
            runner = new_runner(run, each.file, name, each.class_name, each.on_error)
            results.append(rerun(run, name, log, runner, pace))
    if not results:
        raise ConfigError(
            [f"{run.root}: no strategy ran in it"],
            hint="Give one: ticktape replay DIR --decide strategy.py",
        )
    return results


def _other(run: RunDirectory, file: Path, class_name: str, pace: Pace) -> Rerun:
    if not file.is_file():
        raise ConfigError([f"{file}: no such strategy file"], hint="Name a file: --decide FILE.py")
    runner = new_runner(run, file, file.stem, class_name, "stop")
    log: InputLog | None = None
    for name in run.decisions():
        logs = read_runs(run, name)
        log = logs[-1] if logs else None
    return rerun(run, file.stem, log or inputs_by_receipt(run), runner, pace)


def _print(result: Rerun, *, compare: bool) -> None:
    words = f"{result.decision}: {result.decided:,} decisions over {result.inputs:,} inputs"
    if compare:
        words += ", the same as live" if not result.difference else ", NOT the same as live"
    if result.failures:
        words += f", {result.failures} error{'s' if result.failures > 1 else ''}"
    if result.run.partition("-")[0].isdigit():
        words += f" (run of {clock.iso_utc(int(result.run.partition('-')[0]))[:19]}Z)"
    style = "green" if not (compare and result.difference) else "bold red"
    console.print(words, style=style, markup=False)
    if compare and result.difference:
        print_line(f"  first difference: {printable(result.difference)}")
    if result.error:
        print_line(f"  {printable(result.error)}", style="red")
