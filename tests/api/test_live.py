"""Following a run: what comes, in which order, from where, and when it ends."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import FileLock

import ticktape
from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError
from ticktape.journal import Writer, WriterConfig
from ticktape.journal.positions import Positions
from ticktape.live import Follow, Wanted
from ticktape.records import EntryKind, Gap, News, Position
from ticktape.tape import Tape

TRADE = {"T": "t", "x": "V", "p": 1.0, "s": 1, "t": "2026-11-23T15:00:00Z", "c": ["@"], "z": "A"}
GAP = {"event": "down", "gap": {"from_ns": 5, "cause": "the line is dead"}}


class Run:
    """Journals of feeds that a test writes itself."""

    def __init__(self, root):
        self.directory = RunDirectory(root)
        self.writers = {}
        self._written = 0
        (root / "feeds").mkdir()

    def open(self, *feeds, commit_ms=50):
        for feed in feeds:
            journal, positions = self.directory.journal(feed), self.directory.positions(feed)
            self.writers[feed] = Writer(journal, positions, WriterConfig(commit_ms=commit_ms))
        names = [f'[[feed]]\nname = "{feed}"\nkind = "alpaca"' for feed in self.writers]
        self.directory.config.write_text("\n".join(names))
        return Tape(self.directory.root)

    def trade(self, feed="a", recv_ns=1, symbol="IBM", count=1):
        """Write a block of trades; their ids count on."""
        rows = []
        for _ in range(count):
            self._written += 1
            rows.append(json.dumps({**TRADE, "S": symbol, "i": self._written}))
        self.writers[feed].append([f"[{','.join(rows)}]".encode()], recv_ns, recv_ns)

    def close(self):
        for writer in self.writers.values():
            writer.close()


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path)
    yield made
    made.close()


def ids(records):
    return [record.id for record in records]


def take(follow, count):
    return [next(follow).id for _ in range(count)]


def test_what_is_journaled_from_the_call_on_is_given_once_and_in_order(run):
    tape = run.open("a")
    run.trade()
    follow = tape.follow()
    run.trade(count=3)
    run.trade()
    assert take(follow, 4) == [2, 3, 4, 5]
    run.trade()
    assert take(follow, 1) == [6]


def test_it_ends_when_the_writers_are_gone_and_all_is_read(run):
    follow = run.open("a", "b").follow(start=0)
    run.trade("a", 10)
    run.trade("b", 20)
    run.close()
    assert ids(follow) == [1, 2]
    assert list(follow) == []


def test_feeds_are_merged_by_the_time_of_receipt(run):
    tape = run.open("a", "b")
    for recv_ns in (10, 40, 50):
        run.trade("a", recv_ns)
    for recv_ns in (20, 30, 60):
        run.trade("b", recv_ns)
    run.close()
    assert [record.recv_ns for record in tape.follow(start=0)] == [10, 20, 30, 40, 50, 60]


def test_a_record_is_not_held_back_for_a_feed_that_is_silent(run):
    follow = run.open("a", "b").follow()
    run.trade("a", 10)
    run.trade("a", 20)
    assert take(follow, 2) == [1, 2]
    run.trade("b", 15)
    assert take(follow, 1) == [3], "late in its journal, late here"


def test_it_begins_at_a_moment(run):
    tape = run.open("a")
    for recv_ns in (10, 20, 15, 30):
        run.trade("a", recv_ns)
    run.close()
    assert [each.recv_ns for each in tape.follow(start=20)] == [20, 15, 30]
    assert ids(tape.follow(start="1970-01-01T00:00:00.00000003")) == [4]
    assert ids(tape.follow(start=31)) == []
    assert ids(tape.follow()) == [], "from now on, of a run that is over"


def test_a_moment_in_a_later_segment_needs_no_reading_from_the_beginning(run):
    tape = run.open("a")
    run.trade()
    run.writers["a"].close()
    run.open("a")
    now_ns = clock.wall_now_ns()
    run.trade(recv_ns=now_ns)
    run.close()
    follow = tape.follow(start=now_ns)
    assert follow.positions["a"].epoch == 1
    assert ids(follow) == [2]


def test_another_one_goes_on_where_it_stood(run):
    tape = run.open("a", "b")
    run.trade("a", 10)
    run.trade("b", 20, count=2)
    run.trade("a", 30)
    run.close()
    first = tape.follow(start=0)
    assert take(first, 2) == [1, 2]
    assert ids(tape.follow(start=first.positions)) == [2, 3, 4], "the block in hand comes again"
    assert take(first, 2) == [3, 4]
    assert ids(tape.follow(start=first.positions)) == [4]
    assert ids(first) == []
    assert ids(tape.follow(start=first.positions)) == []
    assert first.positions.keys() == {"a", "b"}
    assert isinstance(first.positions["a"], Position)


def test_who_is_slow_reads_behind_in_bounded_memory(run):
    tape = run.open("a")
    follow = tape.follow()
    for _ in range(40):
        run.trade(count=200)
    assert take(follow, 1) == [1]
    (source,) = follow._journals._sources.values()
    assert sum(len(block.body) for block in source.blocks) <= 1 << 18
    assert take(follow, 7_999) == list(range(2, 8_001))


def test_only_what_is_synced_is_given_when_that_is_asked_for(run):
    tape = run.open("a", commit_ms=600_000)
    safe, fast = tape.follow(synced=True, timeout_s=0.05), tape.follow()
    run.trade()
    assert take(fast, 1) == [1]
    assert list(safe) == []
    safe = tape.follow(start=0, synced=True)
    run.writers["a"].sync()
    assert take(safe, 1) == [1]


def test_what_a_killed_writer_had_not_told_of_is_given_at_the_end(run):
    tape = run.open("a")
    run.trade()
    run.trade()
    run.close()
    positions = Positions.for_reader(run.directory.positions("a"))
    positions.publish_written(0, 0)
    positions.close()
    assert ids(tape.follow(start=0)) == [1, 2]


def test_a_feed_that_begins_later_is_found(run, monkeypatch):
    monkeypatch.setattr("ticktape.live._LOOK_NS", 0)
    tape = run.open("a")
    follow = tape.follow()
    run.trade("a")
    assert take(follow, 1) == [1]
    run.open("b")
    run.trade("b")
    assert take(follow, 1) == [2]


def test_a_recorder_that_has_begun_no_feed_yet_is_no_end(run, monkeypatch):
    monkeypatch.setattr("ticktape.live._LOOK_NS", 0)
    run.directory.config.write_text('[[feed]]\nname = "a"\nkind = "alpaca"')
    journals = Tape(run.directory.root).follow()._journals
    lock = FileLock(run.directory.lock)
    with ThreadPoolExecutor(1) as recorder:
        recorder.submit(lock.acquire).result()
        assert not any(journals.is_over() for _ in range(3))
        recorder.submit(lock.release).result()
    assert [journals.is_over() for _ in range(2)] == [False, True], "once more, to read the rest"


def test_it_ends_after_its_time_whatever_comes(run):
    tape = run.open("a")
    assert list(tape.follow(timeout_s=0.05)) == []
    run.trade(count=3)
    assert list(tape.follow(start=0, timeout_s=0)) == []


def test_a_closed_one_gives_nothing_and_has_let_its_files_go(run):
    tape = run.open("a")
    run.trade(count=2)
    with tape.follow(start=0) as follow:
        assert take(follow, 1) == [1]
    assert list(follow) == []
    (source,) = follow._journals._sources.values()
    assert source.reader._file is None
    follow.close()


def test_one_that_nobody_holds_any_more_lets_its_files_go(run):
    tape = run.open("a")
    run.trade(count=2)
    held = []
    for _ in (follow := tape.follow(start=0)):
        held += follow._journals._sources.values()
        break
    assert held[0].reader._file is not None
    del follow
    assert held[0].reader._file is None


# What is asked for.


def record_of(kind, symbol, **more):
    place = {"feed": "a", "event_ns": 0, "recv_ns": 0, "epoch": 0, "seq": 0, "index": 0}
    return kind(symbol=symbol, **place, **more)


def test_a_symbol_brings_the_gaps_of_its_whole_feed(run):
    follow = run.open("a").follow("IBM", start=0)
    run.trade(symbol="IBM")
    run.trade(symbol="AAPL")
    run.writers["a"].append_json(EntryKind.SESSION, GAP)
    run.close()
    assert [(each.kind, each.symbol) for each in follow] == [("trades", "IBM"), ("gaps", "")]


def test_kinds_leave_out_all_others(run):
    tape = run.open("a")
    run.trade()
    run.writers["a"].append_json(EntryKind.SESSION, GAP)
    run.close()
    assert [each.kind for each in tape.follow(kinds="trades", start=0)] == ["trades"]
    assert [each.kind for each in tape.follow(kinds=("gaps", "quotes"), start=0)] == ["gaps"]
    with pytest.raises(ConfigError, match="'trade' is no kind of record"):
        tape.follow(kinds="trade")
    with pytest.raises(ConfigError, match="no moment"):
        tape.follow(start="soon")


def test_an_article_is_of_every_symbol_that_it_names():
    texts = dict.fromkeys(("headline", "summary", "author", "source", "url", "content"), "")
    article = record_of(
        News, "IBM", id=1, symbols=("IBM", "AAPL"), created_ns=0, updated_ns=0, **texts
    )
    gap = record_of(Gap, "TSLA", from_ns=0, to_ns=None, cause="")
    wanted = Wanted.of(["AAPL"], ())
    assert wanted(article)
    assert not wanted(gap)
    assert not Wanted.of(["TSLA"], ())(article)


# In an event loop.


def run_with_others(work):
    """Run `work` beside a task that counts its turns; what `work` gave, and the count."""

    async def both():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        given = await work()
        counting.cancel()
        return given, turns

    return asyncio.run(both())


def test_an_event_loop_goes_on_while_it_waits(run):
    follow = run.open("a").follow()

    async def read():
        waiting = asyncio.ensure_future(follow.__anext__())
        for _ in range(50):
            await asyncio.sleep(0)
        assert not waiting.done()
        run.trade()
        return await waiting

    record, turns = run_with_others(read)
    assert record.id == 1
    assert turns > 10


def test_an_event_loop_goes_on_while_it_reads_behind(run, monkeypatch):
    monkeypatch.setattr("ticktape.live._TURN_NS", 0)
    tape = run.open("a")
    for _ in range(50):
        run.trade(symbol="AAPL")
    run.close()

    async def read():
        return [record async for record in tape.follow("IBM", start=0)]

    given, turns = run_with_others(read)
    assert given == []
    assert turns >= 50


def test_a_wait_that_is_called_off_loses_nothing(run):
    follow = run.open("a").follow()

    async def read():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(follow.__anext__(), 0.03)
        run.trade()
        run.close()
        return [record.id async for record in follow]

    assert asyncio.run(read()) == [1]


def test_a_writer_wakes_a_loop_that_sleeps(run, monkeypatch):
    """Without its byte the sleep would end with its bound alone, which is far off here."""
    monkeypatch.setattr("ticktape.journal.wakeup.FIRST_S", 600.0)
    monkeypatch.setattr("ticktape.journal.wakeup._YOUNG", (600.0,))
    monkeypatch.setattr("ticktape.journal.wakeup.SLEEP_S_MAX", 600.0)
    monkeypatch.setattr("ticktape.live.LONG_S", 600.0)
    follow = run.open("a").follow()

    async def read():
        waiting = asyncio.ensure_future(follow.__anext__())
        for _ in range(5):
            await asyncio.sleep(0)
        ((positions, index),) = follow._journals.sleeper._slots.values()
        assert positions.words[index] == 1, "it sleeps"
        run.trade()
        return (await waiting).id

    assert asyncio.run(read()) == 1


def test_the_class_is_public_for_annotations():
    assert ticktape.Follow is Follow
