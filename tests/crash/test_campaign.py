"""A short part of the crash campaign: kill a journal's process some 200 times, prove each promise.

And that the campaign itself can fail: what it looks for is found when it is put there.
"""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for its modules, also under pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the campaign forks its victims", allow_module_level=True)

import campaign
from campaign import Campaign, Part, Tally
from campaign_bytes import Violation
from campaign_journal import FAILPOINTS, RUN_KILLS, Start, Warm, plan_start, run_kills
from campaign_verify import Verifier
from campaign_victim import SAVE_EVERY, Places, Task, fed_blocks, make_pool

from ticktape import clock
from ticktape.journal import Reader
from ticktape.records import EntryKind

SEGMENT_BYTES = 16_000


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    made = Warm(tmp_path_factory.mktemp("warm") / "victims.log")
    yield made
    made.close()


def task(folder, **more):
    return Task(str(folder), 3, "group", 1, SEGMENT_BYTES, **more)


@pytest.mark.timeout(900)
def test_nothing_written_is_lost_or_altered_whenever_the_journal_is_killed(tmp_path, warm):
    seed = 7
    done, words = run_kills(tmp_path / "run", seed, RUN_KILLS, warm)

    assert words == "", f"seed {seed}, kill {done}"
    assert done == RUN_KILLS


@pytest.mark.parametrize("place", FAILPOINTS)
def test_a_victim_dies_at_each_place_and_nothing_is_lost(place, tmp_path, warm):
    places = Places(tmp_path)
    verifier = Verifier(places, 3)
    # The second victim has a past, which it settles first.
    for failpoint in ("journal.write:20", f"{place}:1", "journal.unpublished:3"):
        before = warm.failpoints[failpoint.partition(":")[0]]
        places.claims.unlink(missing_ok=True)
        one = task(tmp_path, failpoint=failpoint)
        assert warm.strike(Start(one, None)) == -9
        assert warm.failpoints[failpoint.partition(":")[0]] == before + 1
        verifier.look(one)
    verifier.finish()


# What the campaign must find.


@pytest.fixture
def looked(tmp_path, warm):
    """A victim that died within a block, looked over: (task, places, verifier)."""
    places = Places(tmp_path)
    verifier = Verifier(places, 3)
    one = task(tmp_path, failpoint=f"journal.write:{2 * SAVE_EVERY + 5}")
    warm.strike(Start(one, None))
    verifier.look(one)
    yield one, places, verifier
    verifier.close()


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def last_segment(places):
    return sorted(places.journal.glob("*.seg"))[-1]


def claim(places, words):
    with open(places.claims, "a") as claims:
        claims.write(words + "\n")


def test_a_byte_that_changes_later_is_found(looked):
    one, places, verifier = looked
    flip(last_segment(places), 300)
    with pytest.raises(Violation, match="was altered"):
        verifier.prove_hashes()
    with pytest.raises(Violation, match="was touched"):
        verifier.look(one)


def test_a_segment_that_vanishes_is_found(looked):
    one, places, verifier = looked
    last_segment(places).unlink()
    with pytest.raises(Violation, match="is gone"):
        verifier.look(one)


@pytest.mark.parametrize("places_at", [20, 130, 200])
def test_a_wrong_byte_in_a_new_segment_is_found(looked, places_at):
    one, places, _ = looked
    flip(last_segment(places), places_at)
    again = Verifier(places, 3)
    with pytest.raises(Violation, match=r"the header of|was altered"):
        again.look(one)
    again.close()


def test_a_block_that_was_accepted_and_is_not_there_is_found(looked):
    one, places, _ = looked
    claim(places, f"accepted {2 * SAVE_EVERY + 6} 1000 1")
    again = Verifier(places, 3)
    with pytest.raises(Violation, match="blocks were written"):
        again.look(one)
    again.close()


def test_what_a_kill_left_of_the_last_word_is_no_claim(looked):
    one, places, _ = looked
    with open(places.claims, "a") as file:
        file.write(f"accepted {2 * SAVE_EVERY + 6} 1000")
    again = Verifier(places, 3)
    again.look(one)
    again.close()


def test_synced_that_the_disk_never_confirmed_is_found(looked):
    one, places, _ = looked
    kept = [line for line in places.claims.read_text().splitlines() if "durable" not in line]
    places.claims.write_text("\n".join([*kept, ""]))
    again = Verifier(places, 3)
    with pytest.raises(Violation, match="the disk had only"):
        again.look(one)
    again.close()


def test_an_epoch_that_is_used_again_is_found(looked, warm):
    one, places, verifier = looked
    last = last_segment(places)
    shutil.copy(last, last.with_name(f"000000-{10**9:020}.seg"))
    with pytest.raises(Violation, match="not all of epoch 1"):
        verifier.look(one)


def test_a_torn_position_file_is_found(looked):
    one, places, _ = looked
    places.saved.write_bytes(places.saved.read_bytes()[:-20])
    again = Verifier(places, 3)
    with pytest.raises(Violation, match="the position file"):
        again.look(one)
    again.close()


# A disk that is full.


def end_on_full_disk(warm, limited):
    """Run a victim to its end on a disk that refuses: (lost at the end, told by the journal).

    Whatever was accepted and not lost is there as it was fed, and every other entry is counted.
    """
    places = Places(Path(limited.folder))
    assert warm.strike(Start(limited, 240.0)) == 0
    claims = [line.split() for line in places.claims.read_text().splitlines()]
    seqs = [int(words[2]) for words in claims if words[0] == "accepted"]
    [(dropped, lost)] = [map(int, words[1:]) for words in claims if words[0] == "closed"]
    fed = list(itertools.islice(fed_blocks(3, 0, 0, make_pool(3)), limited.blocks_max))
    refused = sum(len(block.payloads) for block, seq in zip(fed, seqs, strict=True) if seq < 0)
    accepted = {seq: block.payloads for block, seq in zip(fed, seqs, strict=True) if seq >= 0}

    with Reader(places.journal, None) as reader:
        found = list(itertools.chain.from_iterable(iter(reader.read, [])))
        damage = reader.damage
    stored = {block.seq: block.entries() for block in found}
    for seq, payloads in accepted.items():
        if seq in stored:
            assert [payload for _, payload in stored[seq]] == payloads
    missing = sum(len(accepted[seq]) for seq in accepted.keys() - stored.keys())

    assert refused > 0
    assert dropped == refused + lost
    assert missing == lost
    assert all(each.torn for each in damage)
    assert sum(each.entries for each in damage) <= lost
    told = [
        json.loads(payload)["frames"]
        for entries in stored.values()
        for kind, payload in entries
        if kind == EntryKind.DROPPED
    ]
    assert sum(told) in (0, refused)
    return lost, sum(told)


def test_a_full_disk_that_takes_again_what_was_held_loses_what_was_refused(tmp_path, warm):
    """`ulimit -f`: the segment is left torn, and all that memory held has room in the next."""
    limits = {"file_bytes_max": 9_000, "memory_bytes": 4_000}
    limited = task(tmp_path, blocks_max=400, tries_at_end=True, **limits)
    lost, told = end_on_full_disk(warm, limited)
    assert lost == 0
    assert told > 0


def test_a_full_disk_that_refuses_to_the_end_loses_what_was_held_and_counts_it(tmp_path, warm):
    """`ulimit -f` again: memory holds more than another segment may take."""
    limits = {"file_bytes_max": 9_000, "memory_bytes": 20_000}
    limited = task(tmp_path, blocks_max=400, tries_at_end=True, **limits)
    lost, told = end_on_full_disk(warm, limited)
    assert lost > 0
    assert told == 0


def test_a_small_disk_that_is_full_loses_nothing_uncounted(tmp_path, warm):
    limited = task(tmp_path, blocks_max=400, memory_bytes=20_000, tries_at_end=True)
    journal = Places(tmp_path).journal
    journal.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=65536", "ticktape-test", journal]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no disk may be mounted here")
    try:
        lost, told = end_on_full_disk(warm, limited)
    finally:
        subprocess.run(["umount", "-l", journal], check=True)
    assert lost > 0
    assert told == 0


# The tally.


def test_the_same_seed_makes_the_same_starts(tmp_path):
    first, second, other = (
        [plan_start(rng, tmp_path, 7) for _ in range(50)]
        for rng in (random.Random(7), random.Random(7), random.Random(8))
    )
    assert first == second
    assert first != other
    assert {start.kill_after_s is None for start in first} == {True, False}


def fake_part(runs, *, violated=()):
    """A part of 45 kills, 20 at a time, that only says which seeds it was asked for."""

    def run(folder, seed, kills):
        folder.mkdir(parents=True)
        (folder / "evidence").write_text("look")
        runs.append((seed, kills))
        return kills, ["lost an entry"] if seed in violated else []

    return Part("journal", 45, 20, run)


def test_a_campaign_that_was_broken_off_goes_on_where_it_was(tmp_path):
    runs = []
    part = fake_part(runs)

    def break_off(folder, seed, kills):
        if runs:
            raise KeyboardInterrupt
        return part.run(folder, seed, kills)

    with pytest.raises(KeyboardInterrupt):
        Campaign(tmp_path, 5, str).run(part._replace(run=break_off))
    again = Campaign(tmp_path, 5, str)
    again.run(part)

    assert runs == [(5_000_000, 20), (5_000_001, 20), (5_000_002, 5)]
    assert Tally(tmp_path / "tally-5.json", 5).last_line() == "45 kills, 0 violations, seed 5"
    again.run(part)
    assert len(runs) == 3


def test_a_violation_is_kept_named_and_repeated_by_its_number(tmp_path):
    runs, said = [], []
    part = fake_part(runs, violated={5_000_001})
    one = Campaign(tmp_path, 5, said.append)
    one.run(part)

    [found] = one.tally.violations
    assert found["only"] == "40"
    assert (Path(found["kept"]) / "evidence").read_text() == "look"
    assert "VIOLATION SEED=5 ONLY=40: lost an entry" in said
    assert one.tally.last_line() == "45 kills, 1 violations, seed 5"

    one.parts = lambda *_: [part._replace(run=lambda *asked: (runs.append(asked[1:]), ["x"]))]
    assert one.repeat("40") == ["x"]
    assert runs[-1] == (5_000_001, 20)


def test_control_c_ends_it_at_once_and_leaves_no_process(tmp_path):
    command = [sys.executable, campaign.__file__, "--kills", "10000", "--folder", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        while not (tmp_path / "journal-7" / "claims").exists():
            assert process.poll() is None
            clock.sleep_s(0.01)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=240)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 130
    assert said == "broken off; the same command goes on: 0 kills, 0 violations, seed 7\n"
    assert children
    _, alive = psutil.wait_procs(children, timeout=240)
    assert alive == []


def test_the_command_ends_with_the_count_and_the_seed(tmp_path, capsys):
    arguments = ["--kills", "10", "--tree", "0", "--seed", "3", "--folder", str(tmp_path)]
    assert campaign.main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "10 kills, 0 violations, seed 3"


def test_a_folder_is_named_from_where_the_command_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []

    def run_tree(_campaign, folder, _seed, kills):
        found.append(folder.parent)
        return kills, []

    monkeypatch.setattr(campaign.Campaign, "_run_tree", run_tree)
    assert campaign.main(["--kills", "0", "--tree", "20", "--folder", "runs/here"]) == 0
    assert found == [tmp_path / "runs" / "here"]
