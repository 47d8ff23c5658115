"""Crash campaign: `make crash N=10000 SEED=7 TREE=300` kills, restarts, and proves each promise.

N kills of a process that only writes a journal, then TREE kills in the whole recorder. What was
done is kept in a tally, so that a campaign goes on where it was broken off. The folder of each
violation is kept; `make crash SEED=7 ONLY=1234` (or `ONLY=tree-3`) tries that one again.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))  # for its modules, also when imported by a test

from campaign_journal import RUN_KILLS, Warm, run_kills
from campaign_tree import BATCH_KILLS, run_batch

ONLY_TRIES = 10  # the moments of kills are never quite the same
SEEDS_PER_CAMPAIGN = 1_000_000


class Part(NamedTuple):
    """One of the two: how many kills are wanted, and in one go, and how a go is done."""

    name: str
    kills: int
    step: int
    run: Callable[[Path, int, int], tuple[int, list[str]]]

    def wanted(self, number: int) -> int:
        """Kills in the go `number`, from 0."""
        return max(0, min(self.step, self.kills - number * self.step))


class Tally:
    """What was done and what was violated, in a file that is replaced whole."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        found = json.loads(path.read_bytes()) if path.exists() else {}
        self.done: dict[str, dict[str, int]] = found.get("done", {"journal": {}, "tree": {}})
        self.violations: list[dict[str, Any]] = found.get("violations", [])
        self.inside = Counter(found.get("inside", {}))
        self.seconds: float = found.get("seconds", 0.0)
        self.seed = seed

    def is_done(self, part: Part, number: int) -> bool:
        """Whether this go need not be done again."""
        violated = any((v["part"], v["go"]) == (part.name, number) for v in self.violations)
        return violated or self.done[part.name].get(str(number), 0) >= part.wanted(number)

    def kills(self) -> int:
        """All kills so far."""
        return sum(sum(goes.values()) for goes in self.done.values())

    def save(self) -> None:
        """Keep it."""
        names = ("seed", "done", "violations", "inside", "seconds")
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({name: getattr(self, name) for name in names}, indent=1))
        os.replace(fresh, self._path)

    def last_line(self) -> str:
        """The campaign's last word."""
        return f"{self.kills()} kills, {len(self.violations)} violations, seed {self.seed}"


class Campaign:
    """Does the goes of both parts that are not done yet.

    Args:
        folder: for the tally, the runs, and what is kept of violations.
        seed: of the campaign.
        say: prints a line.
    """

    def __init__(self, folder: Path, seed: int, say: Callable[[str], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.seed, self.say = folder, seed, say
        self.tally = Tally(folder / f"tally-{seed}.json", seed)
        self._warm: Warm | None = None

    def parts(self, kills: int, tree: int) -> list[Part]:
        """Both parts with so many kills."""
        return [
            Part("journal", kills, RUN_KILLS, self._run_journal),
            Part("tree", tree, BATCH_KILLS, self._run_tree),
        ]

    def _run_journal(self, folder: Path, seed: int, kills: int) -> tuple[int, list[str]]:
        if self._warm is None:
            self._warm = Warm(self.folder / "victims.log")
        done, words = run_kills(folder, seed, kills, self._warm)
        self.tally.inside.update(self._warm.failpoints)
        self._warm.failpoints.clear()
        return done, [words] if words else []

    def _run_tree(self, folder: Path, seed: int, kills: int) -> tuple[int, list[str]]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            return run_batch(folder, seed, kills, lambda _: None)
        except Exception as error:  # noqa: BLE001 - whatever breaks here is a violation, too
            return 0, [repr(error)]

    def seed_of(self, number: int) -> int:
        """The seed of a go."""
        return self.seed * SEEDS_PER_CAMPAIGN + number

    def run(self, part: Part) -> None:
        """Do what is left of a part."""
        left = [n for n in range(-(-part.kills // part.step)) if not self.tally.is_done(part, n)]
        todo, finished, begin = sum(map(part.wanted, left)), 0, time.monotonic()
        for number in left:
            since = time.monotonic()
            self._go(part, number)
            self.tally.seconds += time.monotonic() - since
            self.tally.save()
            finished += part.wanted(number)
            left_s = (time.monotonic() - begin) / finished * (todo - finished)
            self.say(
                f"{part.name:7} {part.kills - todo + finished:6,} of {part.kills:,} kills, "
                f"{len(self.tally.violations)} violations, {left_s / 60:.1f} min left"
            )

    def _go(self, part: Part, number: int) -> None:
        folder = self.folder / f"{part.name}-{self.seed}"
        done, words = part.run(folder, self.seed_of(number), part.wanted(number))
        self.tally.done[part.name][str(number)] = done
        if words:
            only = str(number * part.step + done) if part.name == "journal" else f"tree-{number}"
            kept = self.folder / "violations" / f"{self.seed}-{only}"
            shutil.rmtree(kept, ignore_errors=True)
            kept.parent.mkdir(exist_ok=True)
            folder.rename(kept)
            found = {"part": part.name, "go": number, "only": only, "seed": self.seed}
            self.tally.violations.append({**found, "words": words, "kept": str(kept)})
            for each in words:
                self.say(f"VIOLATION SEED={self.seed} ONLY={only}: {each}")
        shutil.rmtree(folder, ignore_errors=True)

    def repeat(self, only: str) -> list[str]:
        """Try one go again, up to a kill of it, until it is violated; what is violated then."""
        of_tree = only.startswith("tree-")
        part = self.parts(0, 0)[of_tree]
        number, kills = (int(only[5:]), part.step) if of_tree else divmod(int(only) - 1, part.step)
        folder = self.folder / "again"
        for _ in range(ONLY_TRIES):
            _, words = part.run(folder, self.seed_of(number), kills if of_tree else kills + 1)
            if words:
                return words
        shutil.rmtree(folder, ignore_errors=True)
        return []

    def close(self) -> None:
        """End the warm process."""
        if self._warm is not None:
            self._warm.close()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10_000, help="of the journal's process")
    parser.add_argument("--tree", type=int, default=300, help="in the whole recorder")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path("runs/crash"))
    parser.add_argument("--only", default="", help="a violation to try again: 1234 or tree-3")
    return parser.parse_args(arguments)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign as a command; 0 when nothing was violated, 130 when it was broken off."""
    chosen = parse(arguments)
    if not sys.platform.startswith("linux"):
        say("The campaign needs Linux: it forks its victims and holds them by descriptors.")
        return 2
    # Also where a script runs us in the background, which would have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # A config's own files are looked for from its folder, and the recorder's is elsewhere.
    campaign = Campaign(chosen.folder.resolve(), chosen.seed, say)
    try:
        if chosen.only:
            words = campaign.repeat(chosen.only)
            for each in words:
                say(f"VIOLATION {each}")
            say(f"{chosen.only}: {'violated again' if words else 'not violated'}")
            return 1 if words else 0
        for part in campaign.parts(chosen.kills, chosen.tree):
            campaign.run(part)
    except KeyboardInterrupt:
        say(f"broken off; the same command goes on: {campaign.tally.last_line()}")
        return 130
    finally:
        campaign.close()
    for found in campaign.tally.violations:
        place = f"SEED={found['seed']} ONLY={found['only']}"
        say(f"VIOLATION {place}: {'; '.join(found['words'])} (kept in {found['kept']})")
    inside = (f"{place} {count:,}" for place, count in sorted(campaign.tally.inside.items()))
    say(f"of the journal's kills, inside a failpoint: {', '.join(inside)}")
    say(campaign.tally.last_line())
    return 1 if campaign.tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
