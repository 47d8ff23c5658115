"""A child makes columns without pandas, and whoever wants pandas still has it."""

import subprocess
import sys

import pytest

_COLUMNS = (
    "import sys; import numpy as np, pyarrow as pa\n"
    "from ticktape.recorder.arrow import go_without_pandas\n"
    "go_without_pandas()\n"
    "column = pa.array(np.arange(3)); pa.array(['a']); column.take(np.arange(2))\n"
    "assert 'pandas' not in sys.modules\n"
)


def run(code):
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240)


def test_columns_are_made_without_pandas():
    run(_COLUMNS)


def test_whoever_asks_for_pandas_has_it():
    pytest.importorskip("pandas")
    run(
        _COLUMNS + "assert column.to_pandas().sum() == 3\n"
        "import pandas; assert pa.array(pandas.Series([1, 2])).to_pylist() == [1, 2]\n"
    )
