"""Writes a lab's report: the page, the pictures, the tables, the verdict."""

from pathlib import Path

import msgspec

from ticktape.errors import ConfigError
from ticktape.lab.lineup import Lineup
from ticktape.lab.page import page
from ticktape.lab.pictures import Picture, draw
from ticktape.lab.results import PLAN, load_plan, load_results
from ticktape.lab.tables import cells_csv
from ticktape.lab.verdict import Verdict, judge

REPORT = "report"
PAGE = "index.html"

_NO_PICTURES = "No pictures: they need matplotlib. Install ticktape[lab] and report again."
# Alone, an SVG takes no colours of a page.
_ALONE = 'style="color: #1a1b1c; background: #fff" '


def load_verdict(folder: Path) -> Verdict:
    """What the cells say that are done in a lab's folder.

    Raises:
        ConfigError: no lab was run there.
    """
    lineup = _load(folder)
    return judge(lineup.plan, list(lineup.results))


def _load(folder: Path) -> Lineup:
    try:
        return Lineup(load_plan(folder), load_results(folder))
    except FileNotFoundError as error:
        raise ConfigError(
            [f"{folder}: no lab was run here, for it has no {PLAN}"],
            hint="`ticktape lab run` makes one; name its folder",
        ) from error
    except msgspec.DecodeError as error:
        raise ConfigError(
            [f"{folder}: a result cannot be read: {error}"],
            hint="delete the cell's folder under cells/ and run the lab on; it does that one again",
        ) from error


def write_report(folder: Path) -> Path:
    """Write `report/` into a lab's folder, also when cells are missing; the page's path.

    Raises:
        ConfigError: no lab was run there.
    """
    lineup = _load(folder)
    verdict = judge(lineup.plan, list(lineup.results))
    report = folder / REPORT
    report.mkdir(exist_ok=True)
    pictures, note = _draw(lineup)
    for picture in pictures:
        (report / f"{picture.name}.svg").write_text(_alone(picture.svg), encoding="utf-8")
        (report / f"{picture.name}.png").write_bytes(picture.png)
    everything = {"verdict": verdict, "plan": lineup.plan, "cells": lineup.results}
    (report / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(everything)))
    (report / "cells.csv").write_text(cells_csv(lineup.results), encoding="utf-8")
    said = "\n".join(verdict.sentences)
    (report / "verdict.txt").write_text(f"{said}\n", encoding="utf-8")
    # The page last: where it stands, the rest is there.
    path = report / PAGE
    path.write_text(page(lineup, verdict, pictures, note), encoding="utf-8")
    return path


def _draw(lineup: Lineup) -> tuple[list[Picture], str]:
    try:
        return list(draw(lineup)), ""
    except ImportError:
        return [], _NO_PICTURES


def _alone(svg: str) -> str:
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return head + svg.replace("<svg ", f"<svg {_ALONE}", 1)
