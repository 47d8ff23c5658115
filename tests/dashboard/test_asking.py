"""The process that answers: one at a time, within bounds, and never for ever."""

import asyncio
import json
import sys

import pytest

from ticktape.dashboard.asking import WAITING_MAX, Asker, TooMany

ECHO = """
import json, sys, time
print("{}", flush=True)
for number, line in enumerate(sys.stdin):
    asked = json.loads(line)
    if asked["what"] == "sleep": time.sleep(600)
    if asked["what"] == "die": sys.exit(1)
    print(json.dumps({"number": number, **asked["given"]}), flush=True)
"""


def play(scenario, answer_s=60.0):
    """Run a scenario with an asker of its own."""

    async def run():
        asker = Asker([sys.executable, "-c", ECHO], answer_s)
        try:
            return await scenario(asker)
        finally:
            await asker.close()

    return asyncio.run(run())


def test_the_same_question_of_many_is_asked_once():
    async def scenario(asker):
        asked = [asker.ask("trades", {"symbol": "AAPL"}) for _ in range(50)]
        answers = await asyncio.gather(*asked)
        return [*answers, await asker.ask("trades", {"symbol": "AAPL"})]

    assert {json.dumps(json.loads(each)) for each in play(scenario)} == {
        '{"number": 0, "symbol": "AAPL"}'
    }


def test_an_answer_that_takes_too_long_is_given_up_and_the_next_one_comes():
    async def scenario(asker):
        given_up = await asker.ask("sleep", {})
        asker._answer_s = 60.0  # this one is to come, however busy the machine is
        return [given_up, await asker.ask("trades", {"symbol": "A"})]

    given_up, answer = play(scenario, answer_s=2.0)
    assert "longer than 2 s" in json.loads(given_up)["words"]
    assert json.loads(answer) == {"number": 0, "symbol": "A"}


def test_a_process_that_dies_is_started_again():
    async def scenario(asker):
        return [await asker.ask("die", {}), await asker.ask("trades", {"symbol": "A"})]

    died, answer = play(scenario)
    assert "has died" in json.loads(died)["words"]
    assert json.loads(answer)["symbol"] == "A"


def test_only_so_many_questions_wait():
    async def scenario(asker):
        waiting = [
            asyncio.create_task(asker.ask("sleep", {"number": str(number)}))
            for number in range(WAITING_MAX)
        ]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await asker.ask("trades", {})
        await asker.close()
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert all(isinstance(each, asyncio.CancelledError) for each in play(scenario))
