"""No wake-up is lost in a long sleep, in whatever order the CPUs show one another's stores.

The code that sleeps and the code that wakes run as they are, in threads of which one is let go on
at a time, from one access of a shared word to the next. A store waits in its CPU's buffer first:
its own thread sees it at once, the others at any later time, but within `FIRST_S`.
"""

import contextlib
import random
import threading

import pytest

from ticktape.journal import wakeup
from ticktape.journal.positions import (
    SLEEPERS_INDEX,
    WRITTEN_INDEX,
    WRITTEN_SEQ_INDEX,
    Positions,
)
from ticktape.journal.wakeup import LONG_S, Sleeper, Waker

EPOCH = 1
BLOCKS = 5
SCHEDULES = 200


class Over(BaseException):
    """The schedule is over: a thread that sleeps need not wake up any more."""


class Actor:
    """A thread that goes on when it is told to, up to the next thing that others could see."""

    def __init__(self, world, body):
        self.world = world
        self.buffer = []  # stores that only this one sees: (step, index, value)
        self.wait_s = self.wait_step = None
        self.letters = 0
        self.seen = -1
        self.is_done = False
        self._go_on, self._body, self._is_over = threading.Semaphore(0), body, False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        self._go_on.acquire()
        with contextlib.suppress(Over):
            self._body()
        self.is_done = True
        self.world.back.release()

    def pause(self):
        self.world.back.release()
        self._go_on.acquire()
        if self._is_over:
            raise Over

    def go_on(self, *, to_the_end=False):
        self._is_over = to_the_end
        self.world.actor = self
        self._go_on.release()
        assert self.world.back.acquire(timeout=240)

    def select(self, sockets, _writing, _failing, wait_s):
        self.wait_s, self.wait_step = wait_s, self.world.step
        self.pause()
        self.wait_s = None
        return (sockets if self.letters else [], [], [])

    # As the socket of a sleeper, and as the writer's that is connected to it.

    def send(self, _):
        sender = self.world.actor
        sender.pause()
        self.world.show(sender, self.world.step)  # a call of the system is a fence
        self.letters += 1

    def recv(self, _):
        if not self.letters:
            raise BlockingIOError
        self.letters -= 1
        return b"\0"


class World:
    """The words of one positions file, and who uses them; a seed is a schedule."""

    def __init__(self, seed, monkeypatch, *, in_order):
        self.random = random.Random(seed)
        self.in_order = in_order  # of one CPU's stores: as x86 shows them, and ARM does not
        self.back = threading.Semaphore(0)
        self.memory = [0] * 512
        self.memory[4] = EPOCH
        self.step = 0
        self.weights = {}
        self.actor = None
        self.positions = Positions.__new__(Positions)
        self.positions.words, self.positions.closed = self, False
        self.writer = Actor(self, self._write)
        self.readers = {}
        for _ in range(2):
            sleeper = Sleeper()
            sleeper.watch(self.positions)
            sleeper._socket.close()
            sleeper._poll = None
            reader = Actor(self, lambda sleeper=sleeper: self._read(sleeper))
            sleeper._socket, sleeper._port = reader, self.memory[34 + 4 * len(self.readers)]
            self.readers[sleeper._port] = reader
        monkeypatch.setattr(wakeup, "select", self)
        self.actors = [self.writer, *self.readers.values()]

    # What the code under test sees of it.

    def __getitem__(self, index):
        if self.actor is None:
            return self.memory[index]
        self.actor.pause()
        own = [value for _, at, value in self.actor.buffer if at == index]
        return own[-1] if own else self.memory[index]

    def __setitem__(self, index, value):
        if self.actor is None:
            self.memory[index] = value
        else:
            self.actor.pause()
            self.actor.buffer.append((self.step, index, value))

    def select(self, *given):
        return self.actor.select(*given)

    # What they do.

    def _write(self):
        waker = Waker(self.positions)
        waker._socket = self.readers.__getitem__
        for number in range(1, BLOCKS + 1):
            self[WRITTEN_SEQ_INDEX] = number
            self[WRITTEN_INDEX] = number
            if self[SLEEPERS_INDEX]:
                waker.wake()

    def _read(self, sleeper):
        while True:
            _, offset, _ = self.positions.limit(synced=False)
            self.actor.seen = offset
            sleeper.sleep([(self.positions, EPOCH, offset, False)], LONG_S)

    # The schedule.

    def show(self, actor, before_step):
        """All stores of an actor that are so old can be seen by everybody."""
        for store in [each for each in actor.buffer if each[0] <= before_step]:
            actor.buffer.remove(store)
            self.memory[store[1]] = store[2]

    def show_one(self, actor):
        first = {index: (step, index, value) for step, index, value in reversed(actor.buffer)}
        store = actor.buffer[0] if self.in_order else self.random.choice(list(first.values()))
        actor.buffer.remove(store)
        self.memory[store[1]] = store[2]

    def choices(self):
        """Who may go on, and whose stores may come to be seen."""
        for actor in self.actors:
            if actor.buffer:
                yield self.show_one, actor
            if actor.is_done:
                continue
            if actor.wait_s is None or actor.letters:
                yield Actor.go_on, actor
            elif actor.wait_s < LONG_S / 2 or (not self.writer.is_done and self.is_rare()):
                yield self.pass_time, actor

    def weight(self, do, actor):
        """For some time one thing comes often and another hardly ever: a thread is held up."""
        key = do.__name__, self.actors.index(actor)
        if key not in self.weights or self.random.random() < 0.02:
            self.weights[key] = self.random.random() ** 6
        return self.weights[key] + 1e-9

    def is_rare(self):
        return self.random.random() < 0.02

    def pass_time(self, actor):
        for each in self.actors:
            self.show(each, actor.wait_step)
        actor.go_on()

    def play(self):
        """Play it to the end; the readers that sleep then although there is something to read."""
        for actor in self.actors:
            actor.thread.start()
            actor.go_on()
        while found := list(self.choices()):
            self.step += 1
            do, actor = self.random.choices(found, [self.weight(*each) for each in found])[0]
            do(actor)
        asleep = list(self.readers.values())
        assert self.memory[WRITTEN_INDEX] == BLOCKS
        assert all(reader.wait_s is not None for reader in asleep)
        lost = sum(reader.seen != BLOCKS for reader in asleep)
        for reader in asleep:
            reader.go_on(to_the_end=True)
            reader.thread.join(60)
        self.writer.thread.join(60)
        return lost


def lost(monkeypatch, *, in_order, schedules=SCHEDULES):
    """Wake-ups lost in a long sleep, over many schedules."""
    return sum(World(seed, monkeypatch, in_order=in_order).play() for seed in range(schedules))


@pytest.mark.parametrize("in_order", [True, False])
def test_no_wake_up_is_lost_in_a_long_sleep(monkeypatch, in_order):
    assert lost(monkeypatch, in_order=in_order) == 0


def test_without_the_second_look_some_would_be_lost(monkeypatch):
    monkeypatch.setattr(wakeup, "_YOUNG", (LONG_S,))
    monkeypatch.setattr(Sleeper, "_bound_s", lambda *_: LONG_S)
    assert lost(monkeypatch, in_order=True) > 0
