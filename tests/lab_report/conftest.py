"""Labs that were never run: a folder with a plan and the cells that a test wants in it."""

import json
import math
import re
import shutil
import subprocess
import zlib
from html import unescape

import numpy as np
import pytest

from ticktape.lab.lineup import ORDER
from ticktape.lab.results import (
    CELLS,
    PLAN,
    RESULT,
    CellKey,
    CellResult,
    Gaps,
    Missed,
    Plan,
    Threshold,
    save_json,
)

MB = 1_000_000
LAYOUTS = ORDER
THRESHOLDS = (Threshold(bytes=MB), Threshold(bytes=10 * MB), Threshold(bytes=100 * MB))

# Share of states missed, typical gap in ms, captures/s; after the baselines' shape.
FIGURES = {
    "sequential": (0.30, 1.05, 801),
    "pipe-2": (0.22, 1.07, 914),
    "queue-2": (0.23, 1.09, 900),
    "pipe-4": (0.28, 0.07, 1_291),
    "queue-4": (0.20, 0.01, 93_800),
    "queue-4-ordered": (0.21, 0.5, 1_500),
    "queue-4x2": (0.20, 0.4, 2_000),
    "queue-4x2to1": (0.21, 0.6, 1_400),
    "threads": (0.24, 0.7, 1_100),
    "journal": (0.04, 0.12, 8_000),
    "journal-x2": (0.039, 0.13, 7_600),
}
FAULTS = {
    "pipe-4": {"out_of_order": 812},
    "queue-4": {"out_of_order": 4_100, "lost_at_stop": 52_000, "left_behind": 52_000},
    "queue-4x2to1": {"out_of_order": 17},
}
VICTIMS = {"journal": ("acquirer", "writer"), "journal-x2": ("acquirer-a", "acquirer-b", "writer")}


def gaps_of(random, typical_ms, count, zero=0):
    """Gaps with a long tail, and their CCDF at their percentiles."""
    values = np.sort(random.lognormal(math.log(typical_ms * 1e6), 0.5, size=2_000))
    shares = [*np.linspace(0, 0.99, 60), 0.995, 0.999, 0.9995]
    at = [int(values[int(share * (len(values) - 1))]) for share in shares]
    return Gaps(
        count=count,
        zero=zero,
        p50=int(np.quantile(values, 0.5)),
        p99=int(np.quantile(values, 0.99)),
        p999=int(np.quantile(values, 0.999)),
        max=int(values[-1]) * 3,
        lowest=int(values[0]),
        mean=float(values.mean()),
        ccdf=[(gap, float(1 - share)) for gap, share in zip(at, shares, strict=True)],
    )


def made_up(key, *, missed, typical_ms, captures_per_s, noise=0.03, truth=True, faults=None):
    """What a cell of such a layout might have found; the same for the same key."""
    random = np.random.default_rng(zlib.crc32(key.name.encode()))
    scale = 1 + 0.05 * math.log10(max(1, key.threshold.bytes / MB))
    share = min(0.99, missed * scale * random.lognormal(0, noise))
    acquired = int(captures_per_s * 20)
    result = CellResult(
        key,
        seconds=20.0,
        flushes=3,
        threshold_reached=key.threshold.bytes < 100 * MB,
        acquired=acquired,
        saved=acquired,
        drained=120,
        drain_s=0.3,
        captures_per_s=float(captures_per_s * random.lognormal(0, noise)),
        saved_per_s=captures_per_s,
        gaps=gaps_of(random, typical_ms * scale * random.lognormal(0, noise), acquired),
        cpu_s={"acquirer": 19.0, "writer": 4.0},
        peak_bytes={"acquirer": 60 * MB, "writer": 40 * MB + key.threshold.bytes},
        memory=[
            (s, int((60 + 5 * len(key.layout)) * MB + (s % 7) / 7 * key.threshold.bytes))
            for s in range(20)
        ],
        written_bytes=acquired * 1_800,
        files=3,
        stalls=gaps_of(random, 0.02, 100_000),
    )
    if truth:
        result.missed = Missed(true=20_000, missed=round(20_000 * share))
    for name, count in (faults or {}).items():
        setattr(result, name, count)
    if key.victim:
        share = {"journal": 0.001, "journal-x2": 0.0}.get(key.layout, 0.4)
        result.at_kill, result.survived = 10_000, round(10_000 * (1 - share))
    return result


class Lab:
    """A lab's folder in the making."""

    def __init__(self, folder):
        self.folder = folder

    def make(
        self,
        layouts=LAYOUTS,
        thresholds=THRESHOLDS[:2],
        repeats=3,
        figures=None,
        change=None,
        skip=lambda key: False,
        kills=True,
        **options,
    ):
        """Write the plan and its cells; `change(result)` may spoil each one."""
        figures = FIGURES | (figures or {})
        keys = []
        for layout in layouts:
            victims = VICTIMS.get(layout, ("acquirer", "saver")) if kills else ()
            for threshold in thresholds:
                keys += [CellKey(layout, threshold, repeat) for repeat in range(repeats)]
                keys += [CellKey(layout, threshold, 0, victim) for victim in victims]
        np.random.default_rng(7).shuffle(keys)
        plan = Plan(
            source="sim-mt5",
            acquirer="busy",
            format="csv",
            seed=7,
            warm_s=2.0,
            cell_s=20.0,
            flushes=3,
            drain_s=10.0,
            cells=keys,
            machine={"cpu": "made up", "cores": 2, "memory": "8 GB", "python": "3.11"},
            started_ns=1_793_000_000_000_000_000,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        save_json(self.folder / PLAN, plan)
        for key in keys:
            if skip(key):
                continue
            missed, typical_ms, per_s = figures.get(key.layout, (0.3, 1.0, 900))
            faults = {} if key.victim else FAULTS.get(key.layout, {})
            result = made_up(
                key,
                missed=missed,
                typical_ms=typical_ms,
                captures_per_s=per_s,
                faults=faults,
                **options,
            )
            if change:
                change(result)
            cell = self.folder / CELLS / key.name
            cell.mkdir(parents=True)
            save_json(cell / RESULT, result)
        return self.folder


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "lab")


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)

# What the page looks like from inside; written where the dumped document shows it.
PROBE = """
<script>
  const seen = {
    width: innerWidth,
    scroll_width: document.documentElement.scrollWidth,
    requests: performance.getEntriesByType("resource").map((entry) => entry.name),
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    ground: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
    elements: [...new Set([...document.body.querySelectorAll("*")].map((each) => each.localName))],
    ids: [...document.querySelectorAll("[id]")].map((each) => each.id),
    pictures: [...document.querySelectorAll("figure > svg")].map((svg) => {
      const box = svg.getBoundingClientRect();
      return {
        width: box.width, height: box.height,
        paths: [...svg.querySelectorAll("path")].filter((path) => path.getTotalLength() > 0).length,
        words: [...svg.querySelectorAll("text")].map((text) => text.textContent),
      };
    }),
    more: MORE,
  };
  const shown = document.createElement("pre");
  shown.id = "seen";
  shown.textContent = JSON.stringify(seen);
  document.body.append(shown);
</script></body>"""


class Browser:
    """A real one, without a window; it may not reach the network."""

    def __init__(self, folder):
        self.folder = folder

    def look(self, page, *, dark=False, width=1200, more="null"):
        """What the page is like, and what `more` (JavaScript) gives; what it complained of."""
        probed = self.folder / "probed.html"
        html = page.read_text("utf-8")
        assert html.count("</body>") == 1
        probed.write_text(html.replace("</body>", PROBE.replace("MORE", more)), "utf-8")
        ran = subprocess.run(
            [
                CHROMIUM,
                *(
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                ),
                *("--disable-background-networking", "--disable-component-update"),
                *("--disable-sync", "--proxy-server=127.0.0.1:9", "--enable-logging=stderr"),
                f"--user-data-dir={self.folder / 'profile'}",
                f"--window-size={width},900",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                *("--virtual-time-budget=2000", "--dump-dom", probed.as_uri()),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )
        seen = re.search(r'<pre id="seen">(.*?)</pre>', ran.stdout, re.S)
        assert seen, ran.stdout[-2000:] + ran.stderr
        complaints = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
        return json.loads(unescape(seen[1])), complaints


@pytest.fixture
def browser(tmp_path):
    if not CHROMIUM:
        pytest.skip("needs a browser: install Chromium (on Debian: apt-get install chromium)")
    return Browser(tmp_path)
