"""The helper's text: what it may use, and that it agrees with our side of the wire."""

import ast
import importlib.util
import random
import sys
import threading
from pathlib import Path

import pytest

from ticktape import mt5, polls
from ticktape.feeds.mt5 import codes, remote, remotepush

STAND_IN = Path(__file__).parent / "served" / "MetaTrader5.py"
SOURCE = remote.SOURCE + remotepush.SOURCE
ROWS = [(1, 1.25, 7, 7.5), (2, 1.0, 2**64 - 1, 0.1)]


@pytest.fixture
def package(monkeypatch):
    spec = importlib.util.spec_from_file_location("MetaTrader5", STAND_IN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "MetaTrader5", module)
    module.initialize()
    return module


@pytest.fixture
def helper(package):
    return run_source()


def run_source():
    """The helper's names, as the server of rpyc's classic mode makes them."""
    names = {}
    exec(SOURCE, names)
    return names


def test_is_python_3_8_of_the_standard_library_and_the_package_alone():
    tree = ast.parse(SOURCE, feature_version=(3, 8))
    names = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    ]
    assert names and set(names) <= sys.stdlib_module_names | {"MetaTrader5"}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))


def test_evaluates_nothing():
    called = {
        node.func.id
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"eval", "exec", "compile", "__import__", "open"}


def test_both_sides_name_the_same_functions_and_formats(helper):
    assert [name for name in remote.FUNCTIONS if not callable(helper.get(name))] == []
    assert helper["_ANSWER"].format == remote.ANSWER.format
    for name in ("HEAD", "IMAGE", "CLOCK", "END"):
        assert helper[f"_{name}"].format == getattr(remotepush, name).format
    around = range(-10_010, 10)
    assert {code for code in around if helper["_is_pipe"](code)} == codes.PIPE_CODES


def test_packs_rows_and_counts_lengths_as_we_do(helper):
    assert helper["_pack"](ROWS) == mt5.pack_rows(ROWS)
    assert helper["_pack"](()) == b""
    dice = random.Random(5)
    for ns in [*range(-3, 2_000), *(dice.randrange(1 << bits) for bits in range(1, 62))]:
        assert helper["_bucket"](ns) == polls.bucket_of(ns)


def test_an_error_is_asked_for_before_any_other_connection_calls(package):
    """The package has one last_error, which every call resets."""
    package.market.codes = {"A": -1, "B": -4}
    package.market.call_s = 0.000_01  # gives the others a chance between a call and its error
    found = {"A": set(), "B": set()}

    def ask(symbol):
        books = run_source()["books"]
        for _ in range(200):
            _, _, packed = books((symbol,))
            found[symbol].add(remote.ANSWER.unpack_from(packed)[2])

    threads = [threading.Thread(target=ask, args=(symbol,)) for symbol in "ABAB"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"A": {-1}, "B": {-4}}
