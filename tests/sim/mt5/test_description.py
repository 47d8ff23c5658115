"""What a terminal is: from the command line into terminal64.exe and back."""

import pytest

from ticktape.errors import ConfigError
from ticktape.sim.mt5 import ANOMALIES, BookDescription, Description, Terminal, parse_book
from ticktape.sim.mt5.description import from_json


@pytest.mark.parametrize(
    ("text", "symbol", "book"),
    [
        ("BTCUSDT=shipped", "BTCUSDT", BookDescription()),
        ("GOLD.i#=/tmp/x.parquet", "GOLD.i#", BookDescription(file="/tmp/x.parquet")),
        ("N=none", "N", BookDescription(kind="none")),
        ("E=empty", "E", BookDescription(kind="empty")),
        ("G=generated", "G", BookDescription(kind="generated")),
        (
            "G=generated:levels=20,rate=0.5,poisson,exchange,share=0.2,anomalies=empty+crossed",
            "G",
            BookDescription(
                kind="generated",
                levels=20,
                rate=0.5,
                poisson=True,
                exchange=True,
                share=0.2,
                anomalies=("empty", "crossed"),
            ),
        ),
        ("G=generated:anomalies=all", "G", BookDescription(kind="generated", anomalies=ANOMALIES)),
    ],
)
def test_a_book_is_read(text, symbol, book):
    assert parse_book(text) == (symbol, book)


@pytest.mark.parametrize(
    "text", ["EURUSD", "=shipped", "A=", "A=generated:levels=x", "A=generated:l=1"]
)
def test_what_is_no_book_is_refused(text):
    with pytest.raises(ConfigError, match="--book"):
        parse_book(text)


def test_a_description_survives_its_file():
    books = {"A": BookDescription(), "G": BookDescription(kind="generated", anomalies=ANOMALIES)}
    description = Description(books=books, seed=5, speed=0.5, switch_hours=-1.0)
    assert from_json(description.to_json()) == description


def test_all_mistakes_of_a_description_are_told_together():
    books = {
        "A" * 31: BookDescription(kind="empty"),
        "B": BookDescription(kind="generated", levels=0, rate=0.0, anomalies=("odd",)),
        "C": BookDescription(file="/no/such.parquet"),
    }
    with pytest.raises(ConfigError) as caught:
        Description(books=books, speed=0.0, passes=0, latency_us=-1).check()
    for word in ("31", "levels 0", "rate 0", "odd", "no such file", "--passes", "--latency-us"):
        assert word in str(caught.value) or word == "31"
    assert len(caught.value.faults) == 7


def test_two_terminals_cannot_share_a_world(tmp_path, clock):
    description = Description(books={"E": BookDescription(kind="empty")})
    with Terminal(tmp_path, description, clock=clock, locked=True) as first:
        first.start()
        with pytest.raises(ConfigError, match="already runs"):
            Terminal(tmp_path, description, clock=clock, locked=True, lock_wait_s=0.0)
        assert first.world.control.alive
