"""The quickstart notebook: it runs as it stands, and what is kept of its outputs is true.

`jupyter execute --inplace docs/notebooks/quickstart.ipynb` renews the outputs in the file.
"""

import ast
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import ticktape

ROOT = Path(__file__).parent.parent.parent
NOTEBOOK = ROOT / "docs" / "notebooks" / "quickstart.ipynb"
TAPE_ROWS = 36_234


def outputs(notebook):
    """What every cell that shows something showed, as text, by its source."""
    shown = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", output
            text = output.get("text") or output["data"]["text/plain"]
            shown[cell.source] = shown.get(cell.source, "") + text
    return shown


def of_cell(shown, part):
    (text,) = [text for source, text in shown.items() if part in source]
    return text


@pytest.fixture(scope="module")
def run_anew(tmp_path_factory):
    """The notebook's outputs now, and the folder in which it ran; kernels write into no home."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
            patch.setenv(name, str(folder / name.lower()))
        patch.setenv("PYTHONPATH", os.fspath(ROOT / "src"))
        work = folder / "work"
        work.mkdir()
        client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(work)}})
        client.execute()
    return outputs(notebook), work


@pytest.fixture(params=["kept", "anew"])
def shown(request):
    if request.param == "kept":
        return outputs(nbformat.read(NOTEBOOK, as_version=4))
    return request.getfixturevalue("run_anew")[0]


@pytest.mark.timeout(900)
def test_it_records_decides_and_proves_what_it_says(shown):
    assert of_cell(shown, "tt.record(") == "{'sip': 'subscribed'}"
    followed = ast.literal_eval(of_cell(shown, "async for trade"))
    assert len(followed) == 5
    assert all(178 < price < 180 for price, *_ in followed)
    assert of_cell(shown, "Counter()") == "Counter({'trades': 31348, 'quotes': 4886})"
    line = of_cell(shown, "run.stop()").strip("'")
    assert line.startswith(f"COMPLETE  received {TAPE_ROWS:,} = stored {TAPE_ROWS:,} +")
    assert "SPY   22486" in of_cell(shown, "group by symbol")
    assert "Figure" in of_cell(shown, "plt.subplots")
    assert "recv_to_decided" in of_cell(shown, "tape.latency()")


def test_what_is_kept_names_no_place_of_the_machine_that_made_it():
    text = NOTEBOOK.read_text("utf-8")
    assert re.findall(r"/(?:tmp|home|Users|var)/|\w:\\\\", text) == []


@pytest.mark.timeout(900)
def test_its_recording_stays(run_anew):
    _, folder = run_anew
    assert sorted(path.name for path in folder.iterdir()) == ["momentum.py", "quickstart-tape"]
    with ticktape.open(folder / "quickstart-tape") as tape:
        sides = tape.sql("select distinct value->>'side' as side from decisions order by 1")
        assert sides["side"].to_pylist() == ["buy", "sell"]
