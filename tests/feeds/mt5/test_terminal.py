"""The terminal of this machine: its package's calls, and what their failures mean."""

import sys

import pytest

from ticktape import mt5
from ticktape.errors import Disconnected, Refused
from ticktape.feeds.mt5.terminal import (
    Account,
    LocalTerminal,
    initialize_arguments,
    instrument_of,
    near_names,
    no_depth,
    unknown_symbol,
)
from ticktape.sim.mt5 import BookDescription, Connection, Description, Terminal

S = 1_000_000_000


class FakeClock:
    """Both clocks of the simulated terminal; every look at ours costs a microsecond."""

    def __init__(self):
        self.now_ns = 5_000 * S

    def monotonic_ns(self):
        return self.now_ns

    def wall_ns(self):
        return self.now_ns + 1_700_000_000 * S

    def hold(self, wait_ns, with_lock):
        self.now_ns += wait_ns

    def look_ns(self):
        self.now_ns += 1_000
        return self.now_ns


class Place:
    """A simulated terminal, and ours on it through the package's functions."""

    def __init__(self, directory, books, **options):
        self.clock = FakeClock()
        made = {name: BookDescription(kind=kind) for name, kind in books.items()}
        self.sim = Terminal(directory, Description(books=made, **options), clock=self.clock)
        self.sim.start()
        self.module = Connection(clock=self.clock, hold=self.clock.hold)

    def terminal(self, **account):
        account = {"path": str(self.sim.world.executable), **account}
        return LocalTerminal(Account(**account), self.module, self.clock.look_ns)


@pytest.fixture
def place(tmp_path):
    made = []

    def make(books=("A",), **options):
        if not isinstance(books, dict):
            books = dict.fromkeys(books, "generated")
        made.append(Place(tmp_path / f"world{len(made)}", books, **options))
        return made[-1]

    yield make
    for each in made:
        each.sim.close()


@pytest.fixture
def opened(place):
    """A terminal with one symbol, open and subscribed; and where it stands."""
    here = place()
    terminal = here.terminal()
    terminal.open()
    assert terminal.subscribe("A", book=True) is None
    here.clock.now_ns += S
    return here, terminal


# Opening.


def test_an_open_terminal_says_who_it_is_but_not_the_accounts_number(place):
    facts = place().terminal().open()
    assert (facts.build, facts.server, facts.company) == (
        6231,
        "Demo-Server",
        "ticktape simulation",
    )
    assert "5000001" not in repr(facts)


def test_the_account_shows_no_secret():
    account = Account("C:/t.exe", "Server", "123456", "s3cret")
    assert "s3cret" not in repr(account) and "123456" not in repr(account)


def test_the_package_that_is_missing_is_refused_with_both_ways_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "MetaTrader5", None)
    with pytest.raises(Refused, match="not installed") as caught:
        LocalTerminal(Account()).open()
    assert "pip install 'ticktape[mt5]'" in caught.value.hint and "rpyc://" in caught.value.hint


def test_a_terminal_that_does_not_run_may_come(place):
    here = place()
    here.sim.end()
    with pytest.raises(Disconnected, match=r"is not running.*-10003"):
        here.terminal().open()
    here.sim.start()
    here.terminal().open()


def test_nobody_logged_in_may_change(place):
    here = place()
    here.sim.world.control.logged_in = 0
    with pytest.raises(Disconnected, match=r"nobody is logged in.*-10005") as caught:
        here.terminal().open()
    assert "Log in" in caught.value.hint


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ({"server": "Other-Server"}, "logged in at 'Demo-Server', the config wants 'Other-Server'"),
        ({"server": "demo-server"}, "the config wants"),
    ],
)
def test_another_server_is_refused(place, account, words):
    with pytest.raises(Refused, match=words) as caught:
        place().terminal(**account).open()
    assert "terminal = PATH" in caught.value.hint


def test_another_account_is_refused_without_repeating_either_number(place):
    here = place()
    terminal = here.terminal(login="777")
    # The package's own login succeeded; what the terminal then says is another.
    here.module.initialize = lambda **options: Connection.initialize(here.module, options["path"])
    with pytest.raises(Refused, match="another account than the keys name") as caught:
        terminal.open()
    assert "777" not in str(caught.value) and "5000001" not in str(caught.value)


def test_the_right_account_is_let_in(place):
    here = place()
    here.terminal(login="5000001", password="demo", server="Demo-Server").open()


@pytest.mark.parametrize("silent", ["account_info", "terminal_info"])
def test_a_terminal_that_says_nothing_of_itself_is_tried_again_with_its_own_error(place, silent):
    here = place()
    terminal = here.terminal()

    class Silent(Connection):
        def __getattribute__(self, name):
            if name == silent:
                return lambda: Connection._fail(self, -1, "Terminal: Call failed")
            return super().__getattribute__(name)

    terminal._module = Silent(clock=here.clock, hold=here.clock.hold)
    with pytest.raises(Disconnected, match=r"-1 'Terminal: Call failed'"):
        terminal.open()


def test_only_what_is_given_is_asked_for():
    assert initialize_arguments(Account()) == {"timeout": 60_000}
    # Without a login the server is only compared with what the terminal says.
    assert initialize_arguments(Account(server="S")) == {"timeout": 60_000}
    assert initialize_arguments(Account("p", "S", "12", "pw", 5, True)) == {
        "timeout": 5,
        "path": "p",
        "portable": True,
        "login": 12,
        "password": "pw",
        "server": "S",
    }


# Symbols.


def test_an_unknown_symbol_is_refused_with_what_is_like_it(place):
    here = place(("GOLD.i#", "GOLD.a", "SILVER"))
    terminal = here.terminal()
    terminal.open()
    refusal = terminal.subscribe("GOLD", book=True)
    assert "the terminal has no symbol GOLD (-4 'Terminal: Not found')" in refusal.words
    assert refusal.hint == "Near it there are: GOLD.a, GOLD.i#."
    assert terminal.subscribe("XYZ", book=False).hint == "Look it up in Market Watch."


def test_names_that_are_near_are_few_and_never_an_error():
    class Module:
        def symbols_get(self, group):
            return found

    found = None
    assert near_names(Module(), "A") == []
    found = [type("Info", (), {"name": f"EURUSD{n}"}) for n in range(9)]
    assert near_names(Module(), "EURUSD.x") == [f"EURUSD{n}" for n in range(5)]


def test_a_symbol_without_depth_is_refused_in_words_of_our_own(place):
    """The package itself says (1, 'Success')."""
    here = place({"A": "generated", "FX": "none"})
    terminal = here.terminal()
    terminal.open()
    refusal = terminal.subscribe("FX", book=True)
    assert refusal == no_depth("FX", connected=True)
    assert "the broker sends no depth" in refusal.words and "ticks" in refusal.hint
    assert "Success" not in refusal.words
    assert terminal.subscribe("FX", book=False) is None


def test_no_depth_while_the_link_is_down_is_told_apart(place):
    here = place({"FX": "none"})
    terminal = here.terminal()
    terminal.open()
    here.sim.disconnect(here.clock.now_ns)
    here.clock.now_ns += S
    assert "no link to its trade server" in terminal.subscribe("FX", book=True).words


@pytest.mark.parametrize("call", ["select", "add"])
def test_a_terminal_that_is_gone_while_subscribing_is_no_refusal(place, call):
    here = place()
    terminal = here.terminal()
    terminal.open()
    if call == "select":
        here.sim.end()
    else:
        select = here.module.symbol_select

        def then_die(*args):
            found = select(*args)
            here.sim.end()
            return found

        here.module.symbol_select = then_die
    with pytest.raises(Disconnected, match="is gone"):
        terminal.subscribe("A", book=True)


def test_the_instrument_has_what_lasts_and_not_what_ticks(place):
    here = place()
    terminal = here.terminal()
    terminal.open()
    found = terminal.instrument("A")
    assert found["digits"] == 5 and found["point"] == 1e-5 and found["path"]
    assert not {"bid", "ask", "time", "last", "volume"} & set(found)
    assert terminal.instrument("nothing") == {}
    assert instrument_of(object()) == {}


# Polling.


def test_a_poll_brackets_each_call_and_keeps_the_terminals_rows(opened):
    _, terminal = opened
    began_ns = terminal._monotonic_ns()
    first, second = terminal.poll(["A", "A"])
    assert began_ns < first.before_ns < first.after_ns <= second.before_ns < second.after_ns
    assert first.image and first.code == 0
    kinds = [row[0] for row in mt5.unpack_rows(mt5.pack_rows(first.image))]
    assert kinds == sorted(kinds) and set(kinds) == {1, 2}


def test_an_empty_book_an_error_and_a_lost_link_are_three_things(place):
    here = place({"A": "generated", "E": "empty"})
    terminal = here.terminal()
    terminal.open()
    for symbol in ("A", "E"):
        terminal.subscribe(symbol, book=True)
    here.clock.now_ns += S
    rows, empty, error = terminal.poll(["A", "E", "not subscribed"])
    assert rows.image
    assert (empty.image, empty.code) == ((), 0)
    assert (error.image, error.code, error.text) == (None, -1, "Terminal: Call failed")
    here.sim.end()
    (gone,) = terminal.poll(["A", "E"])
    assert (gone.image, gone.code) == (None, -10_002)
    assert terminal.poll(["A"])[0].code == -10_004


def test_polling_nothing_asks_nothing(opened):
    here, terminal = opened
    calls = here.sim.world.control.calls
    assert terminal.poll([]) == []
    assert here.sim.world.control.calls == calls


# Ticks and health.


def test_ticks_come_as_the_terminals_own_bytes(opened):
    here, terminal = opened
    here.clock.now_ns += 20 * S
    newest = terminal.last_tick_msc("A")
    answer = terminal.copy_ticks("A", newest // 1_000 - 10, 100_000)
    assert len(answer.rows) % mt5.TICK_BYTES == 0 and len(answer.rows) > mt5.TICK_BYTES
    assert mt5.last_msc(answer.rows) == newest
    assert answer.before_ns < answer.after_ns
    assert terminal.copy_ticks("A", newest // 1_000 + 60, 10).rows == b""


def test_ticks_that_cannot_be_had_are_an_error_and_not_none(opened):
    _, terminal = opened
    answer = terminal.copy_ticks("nothing", 1, 10)
    assert (answer.rows, answer.code) == (None, -1)


def test_a_symbol_without_ticks_has_no_newest(place):
    here = place(tick_rate=0.0)
    terminal = here.terminal()
    terminal.open()
    assert terminal.last_tick_msc("A") == 0
    assert terminal.last_tick_msc("nothing") == 0


def test_a_lost_link_is_raised_by_every_other_call(opened):
    here, terminal = opened
    here.sim.end()
    for call in (
        lambda: terminal.copy_ticks("A", 1, 10),
        lambda: terminal.last_tick_msc("A"),
        terminal.health,
    ):
        with pytest.raises(Disconnected, match="is gone"):
            call()


def test_health_is_the_terminals_own_link(opened):
    here, terminal = opened
    assert terminal.health() == (True, 42_000, 6231)
    here.sim.disconnect(here.clock.now_ns)
    here.clock.now_ns += S
    assert not terminal.health().connected


# Leaving, and the way back.


def test_close_releases_every_book_and_never_raises(opened):
    here, terminal = opened
    released = []
    release = here.module.market_book_release
    here.module.market_book_release = lambda symbol: (released.append(symbol), release(symbol))
    here.sim.end()
    terminal.close(["A", "B"])
    terminal.close([])
    assert released == ["A", "B"]
    LocalTerminal(Account()).close(["A"])


def test_open_is_the_way_back_and_everything_is_subscribed_anew(opened):
    here, terminal = opened
    here.sim.end()
    here.sim.start()
    assert terminal.poll(["A"])[0].code == -10_002
    terminal.open()
    here.clock.now_ns += S
    assert terminal.poll(["A"])[0].code == -1
    assert terminal.subscribe("A", book=True) is None
    here.clock.now_ns += S
    assert terminal.poll(["A"])[0].image


def test_words_of_a_refusal_name_the_symbol_and_a_cure():
    refusal = unknown_symbol("X", -4, "Terminal: Not found", [])
    assert "X" in refusal.words and refusal.hint


def test_a_terminal_of_this_machine_needs_no_map_of_clocks(opened):
    _, terminal = opened
    assert list(terminal.clock_maps()) == []
