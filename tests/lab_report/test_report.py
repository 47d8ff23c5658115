import csv
import json
import re
import sys
import xml.etree.ElementTree as ET
from html import unescape

import pytest

from ticktape.errors import ConfigError
from ticktape.lab.page import notebook_gap_ms
from ticktape.lab.pictures import pooled_ccdf
from ticktape.lab.report import write_report
from ticktape.lab.results import Gaps, Threshold, load_plan

EVIL = '<script>alert("$x^2$ & ruin")</script>'
TWO_THRESHOLDS_PICTURES = {
    *("ccdf-1MB", "ccdf-10MB", "memory-1MB", "memory-10MB"),
    *("heat-p999", "heat-max", "missed", "throughput"),
}


def text_of(page):
    return unescape(re.sub(r"<[^>]+>", " ", page.read_text("utf-8")))


def test_every_file_of_a_report_is_there_and_they_agree(lab):
    folder = lab.make()
    page = write_report(folder)
    report = folder / "report"
    assert page == report / "index.html"
    for kind in ("svg", "png"):
        assert {path.stem for path in report.glob(f"*.{kind}")} == TWO_THRESHOLDS_PICTURES
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in report.glob("*.png"))
    everything = json.loads((report / "results.json").read_bytes())
    rows = list(csv.DictReader((report / "cells.csv").read_text("utf-8").splitlines()))
    assert len(rows) == len(everything["cells"]) == len(load_plan(folder).cells)
    for row, cell in zip(rows, everything["cells"], strict=True):
        assert row["layout"] == cell["key"]["layout"]
        assert int(row["gap_p999_ns"]) == cell["gaps"]["p999"]
        assert int(row["states_missed"]) == cell["missed"]["missed"]
        assert float(row["captures_per_s"]) == cell["captures_per_s"]
    said = (report / "verdict.txt").read_text("utf-8").splitlines()
    assert said[0] == everything["verdict"]["overall"]["sentence"]
    shown = text_of(page).replace("\xa0", " ")
    assert all(sentence in shown for sentence in said)


def test_a_report_is_the_same_when_it_is_written_again(lab):
    folder = lab.make(("pipe-2", "journal"))
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_svg_files_are_whole_documents_with_lines_in_them(lab):
    folder = lab.make(("pipe-2", "journal"))
    write_report(folder)
    for path in (folder / "report").glob("*.svg"):
        root = ET.fromstring(path.read_bytes())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(root.findall(".//{*}path")) > 3, path.name


def test_the_page_asks_for_nothing_and_is_one_file(lab):
    html = write_report(lab.make(("pipe-2", "journal"))).read_text("utf-8")
    assert "default-src 'none'" in html
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= names
    assert not re.search(r"<(?:link|img|iframe|object|script [^>]*src)|@import|url\((?!#)", html)
    assert set(re.findall(r'href="([^"]{1,40})', html)) <= set(
        f"#{name}" for name in re.findall(r'id="([^"]+)"', html)
    )


def test_markup_in_names_and_notes_is_only_text(lab):
    def note(result):
        result.notes = [EVIL]

    html = write_report(lab.make((EVIL.replace("/", "|"), "journal"), change=note)).read_text(
        "utf-8"
    )
    assert "<script>alert" not in html
    assert html.count("<script>") == 1


def test_a_partial_lab_has_a_report_that_says_what_is_missing(lab):
    folder = lab.make(
        ("pipe-2", "journal"), skip=lambda key: key.layout == "pipe-2" and key.threshold.bytes > 1e6
    )
    shown = text_of(write_report(folder))
    assert "Only 15 of 20 cells are done" in shown
    assert "pipe-2~10MB~0" in shown
    assert "not run" in shown


def test_a_lab_without_a_cell_has_a_report_too(lab):
    shown = text_of(write_report(lab.make(skip=lambda key: True)))
    assert "Only 0 of" in shown
    assert "Nothing to judge" in shown


def test_cells_that_found_next_to_nothing_do_not_stop_a_report(lab):
    def empty(result):
        result.gaps = result.stalls = Gaps()
        result.missed, result.memory, result.cpu_s = None, [], {}
        result.acquired = result.saved = result.at_kill = 0
        result.captures_per_s = 0.0

    shown = text_of(write_report(lab.make(("threads", "journal"), change=empty)))
    assert "nothing acquired" in shown


def test_a_threshold_in_seconds_has_its_place(lab):
    folder = lab.make(("pipe-2", "journal"), (Threshold(seconds=3600), Threshold(bytes=10**9)))
    shown = text_of(write_report(folder))
    assert shown.index("1000MB") < shown.index("3600s")


def test_without_matplotlib_the_report_has_all_but_the_pictures(lab, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    shown = text_of(write_report(lab.make(("pipe-2", "journal"))))
    assert "Install ticktape[lab]" in shown
    assert "journal is the fastest layout" in shown


def test_a_folder_without_a_lab_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no lab was run here") as caught:
        write_report(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_result_that_cannot_be_read_says_what_to_do(lab):
    folder = lab.make(("journal",))
    next(folder.glob("cells/*/result.json")).write_text("{", "utf-8")
    with pytest.raises(ConfigError, match="delete the cell's folder"):
        write_report(folder)


def test_the_notebooks_gap_loses_whole_seconds_and_the_page_says_so(lab):
    assert notebook_gap_ms(2_004_000_000) == 4
    assert notebook_gap_ms(999_000_000) == 999

    def stall(result):
        if result.key.repeat == 0:
            result.gaps.max = 3_017_000_000

    shown = text_of(write_report(lab.make(("pipe-2", "journal"), change=stall)))
    assert "3.02 s, would have counted as 17 ms" in shown


def test_repeats_are_pooled_by_how_many_gaps_they_have(lab):
    class Cell:
        def __init__(self, **gaps):
            self.gaps = Gaps(**gaps)

    short = Cell(count=300, zero=30, ccdf=[(10, 0.5), (20, 0.0)])
    long = Cell(count=100, zero=0, ccdf=[(20, 1.0), (40, 0.0)])
    assert pooled_ccdf((short, long)) == ([10, 20, 40], [0.625, 0.25, 0])
