"""State, not ticks: whoever was away gets the newest once."""

import json

from ticktape.dashboard.board import Board, Seen
from ticktape.dashboard.sources import Sample


def sample(values=(), parts=(), symbols=(("sip", "AAPL"), ("sip", "MSFT")), **more):
    given = {"points": [], "latency": [], "books": {}, **more}
    return Sample(1, dict(parts), list(symbols), dict(values), **given)


def heard(board, seen):
    return json.loads(board.message(seen))


def test_the_first_message_has_all_and_the_next_only_what_changed():
    board, seen = Board(), Seen()
    board.take(sample({0: [1.0], 1: [2.0]}, {"standing": "fine"}))
    first = heard(board, seen)
    assert first["first"] and first["standing"] == "fine"
    assert first["symbols"] == [["sip", "AAPL"], ["sip", "MSFT"]]
    assert first["values"] == [[0, 1.0], [1, 2.0]]
    board.take(sample({1: [3.0]}, {"standing": "fine"}))
    assert heard(board, seen) == {"now_ms": 1, "first": False, "values": [[1, 3.0]]}


def test_a_browser_that_was_away_gets_the_newest_value_once():
    board, seen = Board(), Seen()
    board.take(sample({0: [0.0]}))
    heard(board, seen)
    for value in range(1, 1_001):
        board.take(sample({0: [float(value)]}, {"standing": value}))
    message = heard(board, seen)
    assert message["values"] == [[0, 1_000.0]]
    assert message["standing"] == 1_000


def test_points_are_told_once_to_each():
    board, early, late = Board(), Seen(), Seen()
    board.take(sample(points=[[10, [1], [0]]], latency=[[10, {}]]))
    assert heard(board, early)["points"] == [[10, [1], [0]]]
    board.take(sample(points=[[11, [2], [0]]]))
    assert heard(board, early)["points"] == [[11, [2], [0]]]
    message = heard(board, late)
    assert [point[0] for point in message["points"]] == [10, 11]
    assert len(message["latency"]) == 1


def test_only_the_book_that_is_watched_is_sent_and_only_when_it_changed():
    board, seen = Board(), Seen()
    seen.watched = ("sip", "AAPL")
    books = {("sip", "AAPL"): {"bids": [1]}, ("sip", "MSFT"): {"bids": [2]}}
    board.take(sample(books=books))
    assert heard(board, seen)["book"] == {"bids": [1]}
    board.take(sample(books=books))
    assert "book" not in heard(board, seen)


def test_what_is_not_a_number_becomes_null():
    board, seen = Board(), Seen()
    board.take(sample({0: [float("nan")]}))
    assert heard(board, seen)["values"] == [[0, None]]
