"""A file each way: taken once, read whole, and nothing of it stays behind."""

import os

import pytest

from ticktape import clock
from ticktape.recorder.requests import Answer, Request, RequestFolder


@pytest.fixture
def place(tmp_path):
    return tmp_path / "live" / "requests"


@pytest.fixture
def asker(place):
    return RequestFolder(place)


@pytest.fixture
def recorder(place):
    return RequestFolder(place)


def left(place):
    return sorted(os.listdir(place))


def test_a_request_arrives_and_its_answer_comes_back_and_nothing_stays(asker, recorder, place):
    request = Request("sip", {"trades": [f"A{n}" for n in range(20_000)]}, {"quotes": ["SPY"]})
    name = asker.ask(request)
    assert recorder.take() == [(name, request)]
    assert asker.answer_to(name) is None

    answer = Answer(state="subscribed", channels=request.add, heard=False)
    recorder.answer(name, answer)

    assert asker.answer_to(name) == answer
    assert asker.forget(name) is False
    assert left(place) == []


def test_a_request_is_not_taken_before_it_can_be_removed_and_then_once(
    asker, recorder, monkeypatch
):
    """Else one that stays would be done again every minute."""

    def refuse(path):
        raise PermissionError(13, "it is lent to somebody")

    name = asker.ask(Request("sip"))
    with monkeypatch.context() as lent:
        lent.setattr(os, "unlink", refuse)
        assert recorder.take() == []

    assert [found for found, _ in recorder.take()] == [name]
    assert recorder.take() == []


@pytest.mark.parametrize(
    "content",
    [
        b'{"feed": "\xff\xfe"}',
        b"[" * 100_000,
        b"",
        b'{"feed": "sip", "add": {"trades": [' + b"[" * 100_000,
    ],
    ids=["no UTF-8", "nested", "empty", "nested in a request"],
)
def test_no_content_of_a_request_ends_the_recorder(recorder, place, content):
    place.mkdir(parents=True)
    (place / "1.ask.json").write_bytes(content)
    assert recorder.take() == [("1", None)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are not for this system")
def test_a_pipe_in_place_of_a_request_does_not_make_the_recorder_wait(recorder, place):
    place.mkdir(parents=True)
    os.mkfifo(place / "1.ask.json")
    assert recorder.take() == [("1", None)]


def test_requests_are_taken_in_the_order_in_which_they_came(asker, recorder, monkeypatch):
    moments = iter([1_700_000_000_000_000_002, 1_700_000_000_000_000_001])
    monkeypatch.setattr(clock, "wall_now_ns", lambda: next(moments))
    asker.ask(Request("second"))
    asker.ask(Request("first"))

    assert [request.feed for _, request in recorder.take()] == ["first", "second"]


def test_who_gives_up_learns_whether_the_request_had_been_taken(asker, recorder, place):
    name = asker.ask(Request("sip"))

    assert asker.forget(name) is True
    assert recorder.take() == []
    assert left(place) == []


def test_what_is_no_request_is_taken_and_told_apart(asker, recorder, place):
    asker.ask(Request("sip"))
    (place / "0.ask.json").write_text('{"feed": 1}')

    assert [request for _, request in recorder.take()] == [None, Request("sip")]
    assert left(place) == []


def test_half_a_file_is_never_seen_and_a_refusing_disk_leaves_none(asker, place, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        asker.ask(Request("sip"))

    assert left(place) == []


def test_an_answer_that_nobody_fetches_goes_after_a_minute(asker, recorder, place, monkeypatch):
    name = asker.ask(Request("sip"))
    recorder.take()
    recorder.answer(name, Answer())
    recorder.take()
    assert left(place) == [f"{name}.answer.json"]

    now_ns = clock.monotonic_ns()
    monkeypatch.setattr(clock, "monotonic_ns", lambda: now_ns + 61 * clock.NS_PER_S)
    recorder.take()

    assert left(place) == []


def test_a_recorder_begins_with_an_empty_folder(asker, recorder, place):
    asker.ask(Request("sip"))
    (place / "7.answer.json").write_text("{}")
    (place / "8.ask.json.new").write_text("{")
    recorder.clear()

    assert left(place) == []
    assert recorder.take() == []


def test_without_a_folder_there_is_nothing_to_take(recorder):
    assert recorder.take() == []
    recorder.clear()
