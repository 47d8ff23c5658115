"""A strategy's log: every instance is found, every input read back, nothing else taken for one."""

import msgspec
import pytest

from ticktape.decisions.log import (
    Blocks,
    Decided,
    Failed,
    Restart,
    Standing,
    Start,
    Timer,
    decision_records,
    encode,
    find_logs,
    read_logged,
)
from ticktape.decisions.tables import DecisionTables
from ticktape.journal import Reader, Writer
from ticktape.records import EntryKind, Position

BEGINNING = Position(0, 0)

SEEN = Blocks("sip", 3, 96, 200, 2)


def decided(number, value=b'"buy"'):
    return encode(
        Decided(number, "trades", "sip", "IBM", 11, 12, 3, 9, 1, msgspec.Raw(value)),
    )


@pytest.fixture
def journal(tmp_path):
    """Appends (input, *decisions) blocks, one writer each call, as restarts would."""

    def append(*inputs):
        with Writer(tmp_path / "journal", tmp_path / "positions") as writer:
            for said, *payloads in inputs:
                kinds = [EntryKind.INPUT, *(EntryKind.DECISION for _ in payloads)]
                writer.append([encode(said), *payloads], 5, 6, 0, 0, kinds)

    return append


@pytest.fixture
def logs(tmp_path):
    def find(first=BEGINNING):
        return find_logs(lambda start: Reader(tmp_path / "journal", None, start), first)

    return find


def test_an_empty_journal_has_no_instance(logs):
    assert logs() == []


def test_every_start_is_an_instance_with_its_own_inputs(journal, logs):
    journal((Start("monday", {"sip": (3, 0)}),), (SEEN, decided(0)), (Timer(5),))
    journal((Restart("monday", 2),), (Timer(6), decided(1)))
    journal((Start("tuesday", {"sip": (4, 0)}),), (Timer(7),))

    monday, tuesday = logs()

    assert [logged.input for logged in monday.inputs()] == [SEEN, Timer(5), Timer(6)]
    assert [logged.decisions for logged in monday.inputs()] == [[decided(0)], [], [decided(1)]]
    assert (tuesday.start.run, [one.input for one in tuesday.inputs()]) == ("tuesday", [Timer(7)])


def test_inputs_can_be_read_again_and_again(journal, logs):
    journal((Start("monday", {}),), (Timer(5),))
    (log,) = logs()

    assert list(log.inputs()) == list(log.inputs())


def test_the_search_may_begin_at_a_later_epoch(journal, logs):
    journal((Start("monday", {}),))
    journal((Start("tuesday", {}),))

    assert [log.start.run for log in logs(Position(1, 0))] == ["tuesday"]


def test_what_the_writer_put_there_itself_is_no_input(tmp_path, journal, logs):
    journal((Start("monday", {}),), (Timer(5),))
    with Writer(tmp_path / "journal", tmp_path / "positions") as writer:
        writer.append_json(EntryKind.DROPPED, {"frames": 3, "bytes": 9})
        writer.append_json(EntryKind.NOTE, {"suspect": None})
    (log,) = logs()

    assert [logged.input for logged in log.inputs()] == [Timer(5)]


def test_a_standing_is_carried_on_input_by_input(journal, logs):
    journal(
        (Start("monday", {"sip": (3, 0), "rts": (1, 0)}, "", 7),),
        (SEEN, decided(7), decided(8)),
        (Timer(5), decided(9)),
    )
    (log,) = logs()
    standing = Standing(log.start)
    for logged in log.inputs():
        standing.take(logged)

    assert standing.positions == {"sip": Position(3, 200), "rts": Position(1, 0)}
    assert (standing.next_number, standing.inputs) == (10, 2)


def only_block(tmp_path):
    with Reader(tmp_path / "journal", None) as reader:
        (block,) = reader.read()
    return block


def test_a_decision_becomes_a_record_at_its_place_in_the_journal(tmp_path, journal):
    journal((SEEN, decided(0, b'{"a":1}'), decided(1)))

    first, second = decision_records("mine", only_block(tmp_path))

    assert (first.seq, second.seq, first.number, second.number) == (1, 2, 0, 1)
    assert (first.value, first.decision, first.trigger) == ('{"a":1}', "mine", "trades")
    assert (first.trigger_epoch, first.trigger_seq, first.trigger_index) == (3, 9, 1)
    assert (first.feed, first.symbol, first.event_ns, first.recv_ns) == ("sip", "IBM", 11, 12)


def test_rows_hold_what_records_hold(tmp_path, journal):
    journal((SEEN, decided(0), decided(1)))
    block = only_block(tmp_path)

    rows = DecisionTables("mine").tables([block])["decisions"].to_pylist()

    records = decision_records("mine", block)
    assert rows == [msgspec.structs.asdict(record) for record in records]


def test_blocks_without_a_decision_make_no_table(tmp_path, journal):
    journal((SEEN,))

    assert DecisionTables("mine").tables([only_block(tmp_path)]) == {}


def test_failures_are_read_back(tmp_path):
    failed = Failed("trades", 4, "raised", "stop")
    with Writer(tmp_path / "journal", tmp_path / "positions") as writer:
        kinds = [EntryKind.INPUT, EntryKind.ERROR]
        writer.append([encode(SEEN), encode(failed)], 5, 6, 0, 0, kinds)

    assert read_logged(only_block(tmp_path)).failures == [failed]
