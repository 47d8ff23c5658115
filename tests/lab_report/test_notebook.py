"""The notebook in docs/: it can be run as it stands, and shows what its text says."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ticktape.lab.report import load_verdict

ROOT = Path(__file__).parent.parent.parent
NOTEBOOK = ROOT / "docs" / "notebooks" / "layout-lab.ipynb"


@pytest.fixture
def own_kernel(tmp_path, monkeypatch):
    """Kernels write nothing into a home, and find the package as tests do."""
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PYTHONPATH", os.fspath(ROOT / "src"))


def run(directory):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(directory)}}
    client = NotebookClient(notebook, timeout=240, startup_timeout=240, resources=place)
    client.execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def values(cell):
    """What a cell showed, as Python's own text."""
    return [output["data"]["text/plain"] for output in cell.outputs if "data" in output]


def test_the_notebook_is_kept_without_its_outputs():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.usefixtures("own_kernel")
def test_the_notebook_shows_how_seconds_vanish_and_what_a_lab_found(lab, tmp_path):
    folder = lab.make(("pipe-2", "queue-2", "journal"), repeats=2)
    cells = run(tmp_path)
    (seconds,) = [cell for cell in cells if "gaps that its way" in cell.source]
    shown = eval(values(seconds)[0], {})
    whole, means, kept, _ = (int(text.rstrip("%").split()[0]) for text in shown.values())
    assert whole >= 2_008
    assert 1_004 <= means < whole, "a long call is two gaps from mean to mean"
    assert kept in (means % 1_000, means % 1_000 - 1), "one is rounded, the other cut"
    (verdict,) = [cell for cell in cells if "judge(" in cell.source]
    assert eval(values(verdict)[0], {}) == load_verdict(folder).sentences
    pictures = [output for cell in cells for output in cell.outputs if "data" in output]
    kinds = [kind for output in pictures for kind in output["data"]]
    assert kinds.count("image/svg+xml") == 2
    assert kinds.count("image/png") == 1
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)


@pytest.mark.usefixtures("own_kernel")
def test_the_notebook_says_what_to_do_when_there_is_no_lab(tmp_path):
    (said,) = [cell for cell in run(tmp_path) if "judge(" in cell.source]
    assert "run `ticktape lab run` first" in values(said)[0]
