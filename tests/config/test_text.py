"""What is written from the config's tables: template, run.toml and reference page."""

import pickle
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.config import CHANNELS, AlertConfig, default_toml, dump, parse_config, reference
from ticktape.config.reading import expected, fields_of
from ticktape.config.tables import TABLES
from ticktape.config.text import _toml

ROOT = Path(__file__).parent.parent.parent
BASE = Path("/nowhere")


def uncommented(text):
    """The template with all of its defaults taken out of their comments."""
    return re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.M)


@pytest.fixture
def rich_config(tmp_path):
    """A config in which nothing is a default, as far as the checks allow."""
    (tmp_path / "strategy.py").touch()
    (tmp_path / "ca.pem").touch()
    text = """
        directory = "out \\"quoted\\" ü"
        [[feed]]
        name = "one"
        kind = "alpaca"
        url = "wss://localhost:8443/v2"
        keys = "file:keys"
        encoding = "msgpack"
        auth = "headers"
        proxy = "http://127.0.0.1:3128"
        ca_file = "ca.pem"
        connect_timeout_s = 1.5
        ping_s = 7
        pong_timeout_s = 6
        quiet_s = 5
        stale_s = 4
        backoff_max_s = 3
        stagger_s = 2
        max_frame_bytes = 2_000_000
        pin_cpu = 1
    """
    text += "".join(f'{name} = ["A", "*"]\n' for name in CHANNELS)
    text += """
        [[feed]]
        name = "two"
        kind = "alpaca_v1"
        url = "ws://localhost:8080/stream"
        bars = ["*"]
        [[feed]]
        name = "three"
        kind = "mt5"
        terminal = "mt5/terminal64.exe"
        server = "Demo-Server"
        books = ["GOLD.i#"]
        ticks = ["Öl"]
        poll_ms = 2.5
        tick_ms = 50
        legs = 2
        push = false
        hang_s = 20
        [journal]
        sync = "each"
        commit_ms = 7
        segment_bytes = 1_000_000
        memory_bytes = 2_000_000
        reserve_bytes = 3_000_000
        [[decide]]
        file = "strategy.py"
        name = "mine"
        class_name = "Mine"
        gate = "synced"
        wait = "spin"
        on_restart = "resume"
        on_error = "detach"
        [table]
        commit_s = 0.5
        commit_rows = 10
        [alert]
        command = ["notify-send"]
    """
    return parse_config(text, "tape.toml", tmp_path)


def test_dump_reads_back_as_the_same_config(rich_config):
    assert parse_config(dump(rich_config), "run.toml", Path("/elsewhere")) == rich_config


def test_dump_leaves_out_arguments_that_may_hold_secrets(rich_config):
    command = ("curl", "-H", "Authorization: s3cr3t", "https://hook/s3cr3t")
    text = dump(msgspec.structs.replace(rich_config, alert=AlertConfig(command=command)))
    assert "s3cr3t" not in text
    assert "# and 3 arguments" in text
    assert tomllib.loads(text)["alert"]["command"] == ["curl"]


def test_config_goes_to_child_processes(rich_config):
    assert pickle.loads(pickle.dumps(rich_config)) == rich_config


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_text_is_quoted_as_toml_reads_it(texts):
    assert tomllib.loads(f"x = {_toml(texts)}") == {"x": texts}


def test_template_works_as_it_is():
    config = parse_config(default_toml(directory="runs/a"), "tape.toml", BASE)
    (feed,) = config.feed
    assert config.directory == BASE / "runs" / "a"
    assert (feed.name, feed.url) == ("iex", "wss://stream.data.alpaca.markets/v2/iex")
    assert feed.trades == feed.quotes == feed.bars == ("AAPL", "TSLA")


def test_test_template_records_the_stream_of_made_up_prices():
    (feed,) = parse_config(default_toml(test=True), "tape.toml", BASE).feed
    assert (feed.name, feed.url) == ("test", "wss://stream.data.alpaca.markets/v2/test")
    assert feed.channels() == dict.fromkeys(("trades", "quotes", "bars"), ("FAKEPACA",))


def test_terminals_template_records_books_and_ticks_of_this_machines_terminal():
    (feed,) = parse_config(default_toml(mt5=True), "tape.toml", BASE).feed
    assert (feed.kind, feed.terminal, feed.url) == ("mt5", "module", "")
    assert feed.channels() == dict.fromkeys(("books", "ticks"), ("EURUSD",))
    assert feed.poll_ms == "auto"
    assert "APCA" not in default_toml(mt5=True).partition("[[feed]]")[0]


@pytest.mark.parametrize("mt5", [False, True])
def test_template_shows_every_key_with_its_true_default(tmp_path, mt5):
    (tmp_path / "strategy.py").touch()
    shown = uncommented(default_toml(mt5=mt5))
    document = tomllib.loads(shown)
    for head, kind in TABLES.items():
        name = head.strip("[]")
        table = document[name][0] if head.startswith("[[") else document.get(name, document)
        assert {field.name for field in fields_of(kind)} <= table.keys()
    written_out = parse_config(shown, "tape.toml", tmp_path)
    as_it_is = parse_config(default_toml(mt5=mt5), "tape.toml", tmp_path)
    assert len(written_out.decide) == 1
    assert msgspec.structs.replace(written_out, decide=()) == as_it_is


@pytest.mark.parametrize("mt5", [False, True])
def test_template_fits_the_page(mt5):
    assert max(len(line) for line in default_toml(mt5=mt5).splitlines()) <= 100


def test_reference_page_is_what_the_tables_say():
    page = (ROOT / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
    assert page == reference(), "write it again: see CONTRIBUTING.md"


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, field) for kind in TABLES.values() for field in fields_of(kind)],
    ids=lambda value: getattr(value, "name", getattr(value, "__name__", "")),
)
def test_every_key_has_a_reason_a_range_and_a_line_in_the_reference(kind, field):
    reason = field.type.extra_json_schema["description"]
    assert reason.endswith(".")
    assert "None" not in expected(field.type)
    section = reference().split("\n## ")[1 + list(TABLES.values()).index(kind)]
    assert f"| `{field.name}` | {expected(field.type)} | " in section
    assert f" | {reason} |\n" in section
