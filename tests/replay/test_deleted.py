"""What retention took is called deleted, and neither missing nor damaged; what else lacks is."""

import json
import shutil

import pytest

from ticktape.cli import run
from ticktape.journal.retention import Retention, read_deleted
from ticktape.journal.sealing import Sealer
from ticktape.journal.segments import list_segments
from ticktape.replay import certify
from ticktape.replay.check import examine
from ticktape.replay.rebuild import check_again
from ticktape.replay.seal import seal_run


@pytest.fixture
def sealed(made):
    """A complete run of 100 trades, all of its segments sealed; its certificate is written."""
    scratch = made.folder / "hashed"
    scratch.mkdir()
    found = examine(made.directory, scratch, lambda *_: None, hashed=True)
    (made.day,) = certify.certificates(found, found.days())
    made.plain_parts = found.parts
    list(seal_run(made.directory, lambda *_: None))
    return made


def delete(made, count, feed="sip"):
    folder = made.directory.journal(feed)
    for segment in list_segments(folder)[:count]:
        Retention(folder).delete(segment, "older than keep_days = 1", 5)
    return read_deleted(folder)


def again(made):
    folder = made.folder / "again"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return check_again(made.directory, folder, lambda *_: None)


def test_a_sealed_run_is_proved_as_the_plain_one_with_the_same_digests(sealed):
    assert not list(sealed.directory.root.rglob("*.seg"))
    verdict = sealed.check()
    assert verdict.complete and verdict.totals()["received"] == 100
    assert certify.differences(sealed.directory, sealed.day) == []
    scratch = sealed.folder / "hashed again"
    scratch.mkdir()
    found = examine(sealed.directory, scratch, lambda *_: None, hashed=True)
    assert found.parts == sealed.plain_parts
    assert again(sealed).state == "same"


@pytest.mark.parametrize("count", [1, 3, -1])
def test_a_run_of_which_segments_were_deleted_stays_complete_and_says_so(sealed, count):
    gone = delete(sealed, count)
    verdict = sealed.check()
    (sip,) = verdict.feeds
    assert verdict.reasons() == []
    # Of what went the tables are the witness.
    assert sip.total("received") == sip.total("stored") == 100
    assert sip.to_json()["deleted"] == gone[-1].next_seq
    (words,) = sip.deleted_words()
    assert f"entries 0 to {gone[-1].next_seq - 1}" in words and "deleted by retention" in words


def test_a_segment_that_is_gone_without_a_line_is_still_missing(sealed):
    delete(sealed, 2)
    list_segments(sealed.directory.journal("sip"))[0].path.unlink()
    verdict = sealed.check()
    assert not verdict.complete
    assert any("are in no segment" in each for each in verdict.reasons())
    assert again(sealed).state != "same"


def test_a_row_that_was_altered_behind_what_was_deleted_is_still_found(sealed):
    delete(sealed, 2)
    path = sealed.directory.journal("sip") / "deleted.jsonl"
    lines = path.read_text().splitlines()
    path.write_text(lines[0] + "\n")  # as if only one had been deleted
    verdict = sealed.check()
    assert any("in no segment" in each for each in verdict.reasons())
    assert any("in the table and not in the journal" in each for each in verdict.reasons())


def test_tables_derived_again_are_the_same_but_for_what_was_deleted(sealed):
    delete(sealed, 2)
    found = again(sealed)
    assert found.state == "same", found.to_json()
    assert sum(each.counts.deleted for each in found.groups) > 0
    assert sum(each.counts.lost for each in found.groups) == 0
    assert found.damage == []


def test_a_certificate_holds_over_what_was_deleted_and_not_over_what_was_altered(sealed):
    delete(sealed, 2)
    assert certify.differences(sealed.directory, sealed.day) == []
    path = sealed.directory.journal("sip") / "deleted.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    path.write_text(json.dumps({**line, "sha256": "00" * 32}) + "\n")
    (found,) = certify.differences(sealed.directory, sealed.day)
    assert "are not what they were" in found.words


def test_a_new_certificate_goes_on_with_the_parts_of_what_was_deleted(sealed):
    delete(sealed, 2)
    scratch = sealed.folder / "hashed again"
    scratch.mkdir()
    found = examine(sealed.directory, scratch, lambda *_: None, hashed=True)
    assert found.parts["sip"] == sealed.plain_parts["sip"]


def test_rebuilt_tables_do_not_drop_what_only_the_old_ones_have(sealed, capsys):
    delete(sealed, 2)
    root = sealed.directory.root
    assert run(["rebuild", str(root), "--drop-old", "--json"]) == 1
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["set_aside"] is not None


# The verb.


def test_seal_says_what_it_saved_and_a_second_time_that_there_is_nothing(made, capsys):
    root = str(made.directory.root)
    count = len(made.segments())
    assert run(["seal", root, "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["journals"]["sip"]["segments"] == count > 3
    assert said["saved_bytes"] == said["bytes"] - said["sealed_bytes"] > 0
    assert said["segments"] == sum(each["segments"] for each in said["journals"].values())
    assert run(["seal", root]) == 0
    assert "nothing to seal" in capsys.readouterr().out
    assert made.check().complete


def test_seal_leaves_what_a_writer_is_at_work_on(made):
    from ticktape.journal import Writer

    with Writer(made.directory.journal("sip"), made.directory.positions("sip")):
        list(seal_run(made.directory, lambda *_: None))
        assert len(made.segments()) == 1
    assert made.check().totals()["received"] == 100


def test_what_a_writer_begins_while_it_is_sealed_by_hand_is_left_alone(made):
    from ticktape.journal import Writer

    sealing = seal_run(made.directory, lambda *_: None)
    next(sealing)
    with Writer(made.directory.journal("sip"), made.directory.positions("sip")):
        list(sealing)
        assert len(made.segments()) == 1
    assert Sealer(made.directory.journal("sip"), None).waiting() != []
