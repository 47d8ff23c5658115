"""`ticktape subscribe`: what it asks, what it prints, and what it says when there is no answer."""

import json
import os
import threading

import pytest
from filelock import FileLock

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.recorder.requests import Answer, RequestFolder

ACKNOWLEDGED = Answer(
    state="subscribed",
    wanted={"trades": ["AAPL", "MSFT"]},
    channels={"trades": ["AAPL", "MSFT"], "quotes": [f"A{number}" for number in range(30)]},
)


class FakeRecorder:
    """Holds a run's lock, and answers every request with the same, or not at all."""

    def __init__(self, root):
        self.directory = RunDirectory(root)
        (root / "feeds").mkdir(parents=True)
        self.directory.config.write_text("")
        self.asked = []
        self.answer = ACKNOWLEDGED
        self._lock = FileLock(self.directory.lock, thread_local=False)
        self._lock.acquire()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        folder = RequestFolder(self.directory.requests)
        while not self._over.wait(0.01):
            if self.answer is not None:
                for name, request in folder.take():
                    self.asked.append(request)
                    folder.answer(name, self.answer)

    def close(self):
        self._over.set()
        self._thread.join()
        self._lock.release()


@pytest.fixture
def recorder(tmp_path):
    made = FakeRecorder(tmp_path / "tape")
    yield made
    made.close()


@pytest.fixture
def ask(said, recorder):
    return lambda *arguments: said("subscribe", recorder.directory.root, "sip", *arguments)


def test_what_is_asked_for_reaches_the_recorder_channel_by_channel(ask, recorder):
    code, out, _ = ask(
        "--add", "trades:AAPL, MSFT", "--add", "quotes:SPY", "--add=trades:BRK.B,",
        "--remove", "updated_bars:*",
    )  # fmt: skip

    (request,) = recorder.asked
    assert code == 0
    assert request.feed == "sip"
    assert request.add == {"trades": ["AAPL", "MSFT", "BRK.B"], "quotes": ["SPY"]}
    assert request.remove == {"updated_bars": ["*"]}
    assert "lasts until the recorder ends; put it into the config" in out


def test_the_answer_is_the_venues_and_long_lists_are_cut(ask):
    _, out, _ = ask("--add", "trades:MSFT")

    assert "sip: subscribed" in out
    assert "trades        AAPL, MSFT" in out
    assert "A19 and 10 more" in out


def test_without_a_change_it_shows_what_is_subscribed(ask, recorder):
    code, out, _ = ask()

    assert (code, recorder.asked[0].add) == (0, {})
    assert "AAPL, MSFT" in out
    assert "lasts until" not in out


def test_json_has_all_of_it(ask):
    _, out, _ = ask("--add", "trades:MSFT", "--json")

    found = json.loads(out.splitlines()[-1])
    assert found["channels"] == ACKNOWLEDGED.channels
    assert (found["feed"], found["state"], found["missing"]) == ("sip", "subscribed", {})


def test_what_was_asked_for_and_is_missing_ends_with_1_and_the_venues_reason(ask, recorder):
    recorder.answer = Answer(
        state="subscribed",
        words="symbol limit exceeded (405)",
        channels={"trades": ["AAPL"]},
        missing={"trades": ["MSFT"]},
    )
    code, out, _ = ask("--add", "trades:MSFT")
    assert code == 1
    assert "NOT trades: MSFT (symbol limit exceeded (405))" in out

    # That something else has been missing all along is no failure of this change.
    assert ask("--add", "trades:AAPL")[0] == 0


def test_a_venue_that_did_not_answer_ends_with_1_and_says_what_becomes_of_it(ask, recorder):
    recorder.answer = Answer(state="down", words="connection lost", heard=False)
    code, out, err = ask("--add", "trades:MSFT")

    assert (code, out) == (1, "")
    assert "has not acknowledged it in time; the session is down: connection lost" in err
    assert "with every session from now on" in err


def test_a_feed_that_is_down_shows_what_is_wanted(ask, recorder):
    recorder.answer = Answer(state="down", words="no route", wanted={"trades": ["AAPL"]})
    code, out, _ = ask()

    assert code == 0
    assert "nothing is subscribed now" in out
    assert "wanted: trades  AAPL" in out


def test_the_recorders_faults_are_the_callers(ask, recorder):
    recorder.answer = Answer(faults=["there is no feed 'sip'"], hint="Feeds: iex, news.")
    code, _, err = ask("--add", "trades:MSFT")

    assert code == 2
    assert "no feed 'sip'" in err
    assert "iex, news" in err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("AAPL", "must be like --add trades:AAPL,MSFT"),
        ("trades:", "must be like --add trades:AAPL,MSFT"),
        ("updatedBars:AAPL", 'did you mean "updated_bars"?'),
        ("ticks:AAPL", "no such channel"),
    ],
)
def test_a_change_that_is_none_is_refused_before_anybody_is_asked(ask, recorder, text, words):
    code, _, err = ask("--add", text)

    assert code == 2
    assert words in err
    assert "trades, quotes, bars" in err
    assert recorder.asked == []


def test_where_no_recorder_runs_it_says_so(said, demo):
    code, _, err = said("subscribe", demo, "sip", "--add", "trades:IBM")

    assert code == 2
    assert "no recorder runs here" in err
    assert "ticktape record" in err


def test_where_there_is_no_run_it_says_so(said, tmp_path):
    code, _, err = said("subscribe", tmp_path, "sip")

    assert code == 2
    assert "no ticktape run here" in err


def test_a_recorder_that_stands_still_is_given_up_and_nothing_is_left_for_later(
    ask, recorder, monkeypatch
):
    recorder.answer = None
    monkeypatch.setattr("ticktape.cli.subscribe._WAIT_S", 0.1)
    code, _, err = ask("--add", "trades:MSFT")

    assert code == 1
    assert "did not take the request within" in err
    assert os.listdir(recorder.directory.requests) == []


def test_a_command_that_is_interrupted_takes_its_request_back(ask, recorder, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    recorder.answer = None
    monkeypatch.setattr(clock, "sleep_s", interrupt)

    with pytest.raises(SystemExit) as left:  # cyclopts' own way out
        ask("--add", "trades:MSFT")
    assert left.value.code == 130
    assert os.listdir(recorder.directory.requests) == []
