"""The page in a real browser, on a run that is being recorded by the real recorder."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from ticktape.directory import RunDirectory
from ticktape.replay.places import is_live

# `DASHBOARD_PICTURES=docs/images` takes the documents' pictures, of a run that has gone on for a
# while; without it they are only looked at.
PICTURES = os.environ.get("DASHBOARD_PICTURES", "")
ROWS = "#values-table tbody tr[aria-rowindex]:not([hidden])"
COLUMN = f"""[...document.querySelectorAll('{ROWS}')].map((row) => row.cells[AT].textContent)"""
STATE = "document.body.dataset.state"
WORDS = "document.getElementById('words').textContent"
# On a machine that has other things to do a stage may lag for a while.
LIVE = f"['recording', 'behind'].includes({STATE})"
TRADES = "[...document.querySelectorAll('#sales-table tbody tr')]"
STEPS = "[...document.querySelectorAll('#path .step')]"
CONFIG = """
directory = {directory!r}
[[feed]]
name = "sip"
kind = "alpaca"
url = "{sip}"
heal = "off"
trades = ["*"]
quotes = ["*"]
backoff_max_s = 0.5
[[feed]]
name = "crypto"
kind = "alpaca"
url = "{crypto}"
heal = "off"
trades = ["*"]
quotes = ["*"]
orderbooks = ["*"]
backoff_max_s = 0.5
[table]
commit_s = 0.5
"""


@pytest.fixture
def record(tmp_path):
    """A function that records two simulated venues into a folder; it gives the recorder."""
    with contextlib.ExitStack() as ended:
        sim = [sys.executable, "-m", "ticktape", "sim", "alpaca", "--until-stdin-closes"]
        tape = ["--tape", "generated", "--symbols", "300", "--events", "20000", "--rate", "400"]
        paths = ["--path", "/v2/sip", "--path", "/v1beta3/crypto/us", "--passes", "0"]
        venue = subprocess.Popen(
            [*sim, *tape, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        ended.callback(venue.wait)
        ended.callback(venue.kill)
        urls = json.loads(venue.stdout.readline())["urls"]
        directory, config = tmp_path / "tape", tmp_path / "ticktape.toml"
        config.write_text(
            CONFIG.format(
                directory=str(directory), sip=urls["/v2/sip"], crypto=urls["/v1beta3/crypto/us"]
            )
        )

        def start():
            recorder = subprocess.Popen(
                [sys.executable, "-m", "ticktape", "record", str(config)],
                env={"APCA_API_KEY_ID": "demo-key", "APCA_API_SECRET_KEY": "demo-secret"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            ended.callback(recorder.wait)
            ended.callback(recorder.terminate)
            return recorder

        start.directory = directory
        yield start


def column(browser, at):
    return browser.ask(COLUMN.replace("AT", str(at)))


def numbers(texts):
    return [float(text.replace(",", "")) for text in texts if text]


def choose(browser, symbol):
    browser.ask(
        f"[...document.querySelectorAll('{ROWS}')]"
        f".find((row) => row.cells[0].textContent === {symbol!r}).click()"
    )


@pytest.mark.timeout(900)
def test_a_run_is_seen_live_and_a_killed_recorder_is_told_and_its_restart_seen(
    record, serve, browser, wait_until, tmp_path
):
    recorder = record()
    wait_until(lambda: (record.directory / "live" / "last.map").exists())
    page = serve(record.directory)
    browser.open(page.url)
    browser.wait(f"document.querySelectorAll('{ROWS}').length > 20")
    browser.wait(LIVE)

    _sorts_and_filters(browser)
    _shows_book_trades_and_path(browser)
    _shows_stages(browser)
    _is_worth_a_picture(browser, page.url, tmp_path)

    recorder.kill()
    recorder.wait()
    browser.wait(f"{STATE} === 'stale' && {WORDS}.includes('gone and did not say goodbye')")
    wait_until(lambda: not is_live(RunDirectory(record.directory)))

    record()
    browser.wait(LIVE)
    browser.ask("document.getElementById('day-again').click()")
    # It asks by itself again; an answer that took long is good for a minute.
    browser.wait("[...document.querySelectorAll('#gaps tbody tr')].length > 0")
    browser.wait("document.getElementById('day-canvas').height > 100")

    assert browser.complaints == []
    assert {each.split("/")[2] for each in browser.requests} == {page.url.split("/")[2]}
    page.close()
    browser.wait(f"{STATE} === 'unconnected'")
    browser.ask(f"{TRADES}.at(-1).click()")
    browser.wait("document.getElementById('path').textContent.includes('does not answer')")
    again = serve(record.directory, "--port", page.url.rstrip("/").rpartition(":")[2])
    assert again.url == page.url
    browser.wait(f"['recording', 'behind', 'starting'].includes({STATE})")


def _sorts_and_filters(browser):
    browser.ask("document.querySelectorAll('#values-table th button')[2].click()")
    # The first values may be quotes alone, or of one symbol.
    browser.wait(f"new Set({COLUMN.replace('AT', '2')}.filter(Boolean)).size > 5")
    up = numbers(column(browser, 2))
    assert up == sorted(up)
    browser.ask("document.querySelectorAll('#values-table th button')[2].click()")
    down = numbers(column(browser, 2))
    assert down == sorted(down, reverse=True) and down[0] > up[0]
    browser.ask("document.querySelectorAll('#values-table th button')[0].click()")
    browser.press("/", "/")
    assert browser.ask("document.activeElement.id") == "filter"
    browser.call("Input.insertText", text="btc crypto")
    # The other feed has rows enough before this one has connected.
    browser.wait(
        f"(() => {{ const rows = [...document.querySelectorAll('{ROWS}')];"
        " return rows.length && rows.every((row) => row.cells[0].textContent.includes('BTC')"
        " && row.cells[1].textContent === 'crypto') })()"
    )
    assert 0 < browser.ask(f"document.querySelectorAll('{ROWS}').length") < 10


def _shows_book_trades_and_path(browser):
    browser.press("Enter")
    browser.wait("document.querySelectorAll('#ladder tbody tr').length > 3")
    browser.wait("document.getElementById('book-note').textContent.includes('levels')")
    browser.wait("document.querySelectorAll('#sales-table tbody tr:not(.newest)').length > 2")
    _shows_path(browser, -1)
    browser.press("Escape")
    assert browser.ask("document.getElementById('path').hidden")


def _shows_path(browser, at):
    # Any trade has a path at once, stored or not; but its stamps may not be there yet, nor those of
    # a process that is about to start. It is asked for again only when there was an answer.
    browser.wait(f"""(() => {{
      const path = document.getElementById('path');
      if (path.textContent.includes('asking')) return false;
      const found = Object.fromEntries({STEPS}.map((step) =>
        [step.children[0].textContent, step.children[2].textContent]));
      const is = ['recv', 'written', 'synced', 'last', 'stored'].every((stage) => stage in found)
        && found.written.startsWith('+') && !path.hidden;
      if (!is) {TRADES}.at({at}).click();
      return is; }})()""")


def _shows_stages(browser):
    browser.wait(
        "[...document.querySelectorAll('#stages-table tbody tr')]"
        ".some((row) => row.cells[0].textContent === 'last' && row.cells[4].textContent)"
    )
    browser.wait("document.querySelectorAll('.chart canvas').length === 3")


def _is_worth_a_picture(browser, url, folder):
    if PICTURES:
        folder = Path(PICTURES)
        time.sleep(75)
    looks = {
        "light": {"height": 1650},
        "dark": {"dark": True, "height": 1650},
        "narrow": {"width": 420, "height": 1650},
    }
    for name, options in looks.items() if PICTURES else [("narrow", looks["narrow"])]:
        browser.open(url, **options)
        browser.wait("document.querySelectorAll('#sales-table tbody tr').length > 2")
        browser.wait("document.querySelectorAll('#stages-table tbody tr').length > 3")
        _shows_path(browser, 2)
        browser.wait("document.getElementById('day-canvas').height > 100")
        browser.ask("scrollTo(0, 0)")
        picture = folder / f"dashboard-{name}.png"
        browser.picture(picture)
        # As many colours as there are: text keeps its edges, and the file is a third.
        Image.open(picture).convert("RGB").quantize(160, dither=0).save(picture, optimize=True)
        assert 10_000 < picture.stat().st_size < 200_000
        width = browser.ask("document.documentElement.scrollWidth")
        assert width <= options.get("width", 1440), "nothing but boxes scrolls sideways"
    browser.open(url)
    browser.wait(LIVE)


EVIL = "<img src=x onerror=alert(1)>"


def test_markup_in_symbols_and_words_is_shown_and_not_obeyed(browser, serving, fake_run):
    happening = {"at": EVIL, "who": EVIL, "event": EVIL, "words": EVIL, "tone": EVIL}
    feed = {"name": EVIL, "kind": EVIL, "state": EVIL, "words": EVIL, "heard_ms": None}
    parts = {
        "run": {"directory": EVIL, "version": EVIL},
        "standing": {"state": "recording", "words": EVIL},
        "feeds": [feed],
        "history": {EVIL: [happening]},
        "log": [happening],
    }
    symbols = [("sip", EVIL), (EVIL, "AAPL"), ("sip", "</td><b>B</b>")]
    browser.open(serving(fake_run(symbols=symbols, parts=parts)).url)
    browser.wait(f"document.querySelectorAll('{ROWS}').length === 3")
    assert EVIL in column(browser, 0)
    choose(browser, EVIL)
    browser.wait(f"document.getElementById('symbol-head').textContent === {EVIL!r}")
    browser.wait(f"document.body.textContent.split({EVIL!r}).length > 5")
    assert browser.ask("document.querySelectorAll('img, svg, b b, iframe').length") == 0
    assert browser.complaints == []


def test_thousands_of_symbols_are_known_and_few_are_drawn(browser, serving, fake_run):
    symbols = [("sip", f"S{number:04}") for number in range(5_000)]
    browser.open(serving(fake_run(symbols=symbols)).url)
    browser.wait("document.getElementById('values-count').textContent === '5000 symbols'")
    browser.wait(f"document.querySelectorAll('{ROWS}').length > 10")
    assert browser.ask(f"document.querySelectorAll('{ROWS}').length") < 60
    browser.ask("document.getElementById('values-box').focus()")
    browser.press("End")
    browser.wait(f"{COLUMN.replace('AT', '0')}.includes('S4999')")
    assert browser.ask("document.querySelector('[aria-selected=true]').cells[0].textContent")
    assert browser.ask(f"document.querySelectorAll('{ROWS}').length") < 60
    # A redraw with everything changed leaves the browser most of its time. A busy machine may
    # stand still meanwhile; a page that takes too long does so each time.
    longest = """new Promise((done) => {
      const from = performance.now(); let longest = 0, last = from;
      const step = (now) => { longest = Math.max(longest, now - last); last = now;
        now - from > 2000 ? done(longest) : requestAnimationFrame(step); };
      requestAnimationFrame(step); })"""
    browser.wait(f"{longest}.then((spent) => spent < 1_500)")
