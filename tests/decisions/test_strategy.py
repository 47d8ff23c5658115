"""Loading and calling a strategy: whatever its author does, the words say where it went wrong."""

import pytest

from ticktape.decisions import load_strategy
from ticktape.errors import DecisionError

ONE = """
    class One:
        def on_trade(self, trade, last):
            return {"price": trade.price, "last": last[trade.symbol].trade.price}
"""


def decide(strategy, record):
    """What one record leads to; what its callback raised is raised."""
    said = []

    def failed(_, error):
        raise error

    assert strategy.decide_all([record], lambda _, value: said.append(value), failed) == 1
    return said[0] if said else None


def test_a_callback_gets_the_record_and_the_last_values_as_of_it(load, makes):
    assert decide(load(ONE), makes.trade(1, 7.5)) == b'{"last":7.5,"price":7.5}'


def test_a_record_without_a_callback_still_moves_the_last_values(load, makes):
    strategy = load(ONE)

    assert decide(strategy, makes.quote(1, 9.0)) is None
    assert strategy.last["IBM"].quote.bid_price == 9.0


def test_none_is_no_decision_and_false_is_one(load, makes):
    strategy = load(
        """
        class Picky:
            def on_trade(self, trade, last):
                return None if trade.price < 5 else False
        """
    )

    assert decide(strategy, makes.trade(1, 1.0)) is None
    assert decide(strategy, makes.trade(2, 6.0)) == b"false"


def test_gaps_are_given_like_other_records(load, makes):
    strategy = load(
        """
        class Careful:
            def on_gap(self, gap, last):
                return gap.cause
        """
    )

    assert decide(strategy, makes.gap()) == b'"the cable"'


def test_books_and_ticks_have_callbacks_and_last_values_of_their_own(load, makes):
    strategy = load(
        """
        class Polled:
            def on_book(self, book, last):
                own = last[book.symbol]
                return ["book", own.book.bid_prices[0], own.tick is None]
            def on_tick(self, tick, last):
                return ["tick", tick.bid, last[tick.symbol].book.ask_volumes]
        """
    )

    assert decide(strategy, makes.book(1, 7.5)) == b'["book",7.5,true]'
    assert decide(strategy, makes.tick(2, 8.5)) == b'["tick",8.5,[3.0,4.0]]'
    assert decide(strategy, makes.book(3, 9.5)) == b'["book",9.5,false]'


@pytest.mark.parametrize("callback", ["on_book", "on_tick"])
def test_a_class_with_one_callback_for_polled_records_is_a_strategy(load, callback):
    assert load(f"class One:\n    def {callback}(self, record, last): pass\n").name == "mine"


def test_a_set_of_texts_has_the_same_bytes_in_every_process(load, makes):
    strategy = load(
        """
        class Sets:
            def on_trade(self, trade, last):
                return {"z": 1, "symbols": {"c", "a", "b"}}
        """
    )

    assert decide(strategy, makes.trade()) == b'{"symbols":["a","b","c"],"z":1}'


def test_an_error_names_the_callback_the_exception_and_the_line(load, makes):
    strategy = load(
        """
        class Bad:
            def on_trade(self, trade, last):
                one = 1
                return one / (trade.price - 1)
        """
    )

    with pytest.raises(DecisionError, match=r"mine: on_trade raised ZeroDivisionError") as caught:
        decide(strategy, makes.trade(8, 1.0))

    assert "(strategy.py:5)" in str(caught.value)
    assert (caught.value.decision, caught.value.seq) == ("mine", 8)


def test_an_error_inside_a_library_names_the_strategys_own_line(load, makes):
    strategy = load(
        """
        import json
        class Bad:
            def on_trade(self, trade, last):
                return json.loads("{")
        """
    )

    with pytest.raises(DecisionError, match=r"JSONDecodeError.*\(strategy.py:5\)"):
        decide(strategy, makes.trade())


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise KeyboardInterrupt", "exit()"])
def test_a_strategy_that_wants_to_end_the_process_is_an_error_like_any_other(load, makes, ending):
    strategy = load(
        f"""
        import sys
        class Leaving:
            def on_trade(self, trade, last):
                {ending}
        """
    )

    with pytest.raises(DecisionError, match=r"raised (SystemExit|KeyboardInterrupt)"):
        decide(strategy, makes.trade())


@pytest.mark.parametrize("goes_on", [True, False])
def test_records_behind_one_that_raised_are_given_if_it_is_to_go_on(load, makes, goes_on):
    strategy = load(
        """
        class Unlucky:
            def on_trade(self, trade, last):
                return 1 // (trade.seq - 2)
        """
    )
    records, decided, failed = [makes.trade(seq) for seq in (1, 2, 3)], [], []

    given = strategy.decide_all(
        records,
        lambda record, value: decided.append((record.seq, value)),
        lambda record, error: failed.append((record.seq, error.seq, error.__cause__)) or goes_on,
    )

    assert given == (3 if goes_on else 2)
    assert decided == [(1, b"-1"), (3, b"1")][: given - 1]
    assert [each[:2] for each in failed] == [(2, 2)]
    assert isinstance(failed[0][2], ZeroDivisionError)


@pytest.mark.parametrize("value", ["object()", "1j", "lambda: 1"])
def test_what_json_cannot_hold_is_an_error(load, makes, value):
    strategy = load(
        f"""
        class Odd:
            def on_trade(self, trade, last):
                return {value}
        """
    )

    with pytest.raises(DecisionError, match="on_trade raised"):
        decide(strategy, makes.trade())


# Loading.


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DecisionError, match=r"gone.py: no such strategy file"):
        load_strategy(tmp_path / "gone.py", "mine")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class A:\n    pass\n", r"0 strategy classes found \(none\)"),
        (
            "class A:\n    def on_trade(self, t, l): pass\n"
            "class B:\n    def on_quote(self, t, l): pass\n",
            r"2 strategy classes found \(A, B\)",
        ),
        ("def broken(:\n", r"SyntaxError: .*\(strategy.py:1\)"),
        ("x = 1\nraise RuntimeError('early')\n", r"RuntimeError: early \(strategy.py:2\)"),
        ("import no_such_module_at_all\n", r"ModuleNotFoundError.*\(strategy.py:1\)"),
        ("import sys\nsys.exit(0)\n", r"SystemExit: 0 \(strategy.py:2\)"),
        (
            "class A:\n    def __init__(self):\n        self.x = {}['key']\n"
            "    def on_trade(self, t, l): pass\n",
            r"making the strategy raised KeyError: 'key' \(strategy.py:3\)",
        ),
        (
            "class A:\n    def __init__(self, size):\n        pass\n"
            "    def on_trade(self, t, l): pass\n",
            r"making the strategy raised TypeError",
        ),
    ],
    ids=["none", "two", "syntax", "import", "module", "exit", "init", "arguments"],
)
def test_a_file_that_is_no_strategy_is_refused_with_its_line(load, text, words):
    with pytest.raises(DecisionError, match=words):
        load(text)


TWO = """
    class Base:
        def on_trade(self, trade, last):
            return "base"
    class Mine(Base):
        def on_quote(self, quote, last):
            return "mine"
"""


def test_class_name_picks_one_of_several(load, makes):
    assert decide(load(TWO, "Mine"), makes.trade()) == b'"base"'


def test_a_class_name_that_is_not_there_names_those_that_are(load):
    with pytest.raises(DecisionError, match=r"no strategy class 'Other' \(there are: Base, Mine\)"):
        load(TWO, "Other")


def test_an_imported_class_is_no_strategy_of_this_file(load, write, makes):
    write("class Tool:\n    def on_trade(self, t, l): return 'tool'\n", "tools_of_mine.py")

    strategy = load(
        """
        from tools_of_mine import Tool
        class Own:
            def on_trade(self, trade, last):
                return Tool().on_trade(trade, last) + "!"
        """
    )

    assert decide(strategy, makes.trade()) == b'"tool!"'


def test_modules_beside_it_begin_anew_with_each_instance(load, write, makes):
    write("count = 0\n", "kept_state.py")
    text = """
        import kept_state
        class Counts:
            def on_trade(self, trade, last):
                kept_state.count += 1
                return kept_state.count
    """
    first = load(text)
    decide(first, makes.trade())

    assert decide(first, makes.trade()) == b"2"
    assert decide(load(text), makes.trade()) == b"1"


# The timer.


def test_a_timer_is_called_with_the_time_and_the_last_values(load, makes):
    strategy = load(
        """
        class Ticks:
            timer_s = 0.25
            def on_timer(self, now_ns, last):
                return [now_ns, len(last)]
        """
    )
    decide(strategy, makes.trade())

    assert strategy.timer_s == 0.25
    assert strategy.on_timer(77) == b"[77,1]"


@pytest.mark.parametrize("timer_s", ["0", "-1", "float('nan')", "float('inf')", "'soon'"])
def test_a_timer_without_a_sensible_period_is_refused(load, timer_s):
    text = f"class Bad:\n    timer_s = {timer_s}\n    def on_timer(self, now_ns, last): pass\n"

    with pytest.raises(DecisionError, match="timer_s"):
        load(text)


def test_a_timer_that_says_no_period_is_refused_for_it_would_never_be_called(load):
    with pytest.raises(DecisionError, match=r"has on_timer, and timer_s is 0"):
        load("class Bad:\n    def on_timer(self, now_ns, last): pass\n")
