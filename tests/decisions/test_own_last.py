"""Last values as a strategy sees them: as of its record, forward only, over feeds and for each."""

from ticktape.decisions import OwnLastValues


def test_the_newest_of_each_kind_is_kept_for_a_symbol(makes):
    last = OwnLastValues()
    last.update(makes.trade(1, 10.0))
    last.update(makes.quote(2, 9.0))
    last.update(makes.trade(3, 11.0))

    assert (last["IBM"].trade.price, last["IBM"].quote.bid_price, last["IBM"].bar) == (
        11.0,
        9.0,
        None,
    )


def test_a_late_print_does_not_replace_a_newer_value(makes):
    last = OwnLastValues()
    last.update(makes.trade(1, 10.0, event_ns=50))
    last.update(makes.trade(2, 11.0, event_ns=49))

    assert last["IBM"].trade.price == 10.0


def test_of_two_at_one_time_the_later_arrival_wins(makes):
    last = OwnLastValues()
    last.update(makes.trade(1, 10.0, event_ns=50))
    last.update(makes.trade(2, 11.0, event_ns=50))

    assert last["IBM"].trade.price == 11.0


def test_feeds_are_told_apart_by_of_and_joined_by_symbol(makes):
    last = OwnLastValues()
    last.update(makes.trade(1, 10.0, event_ns=1, feed="sip"))
    last.update(makes.trade(2, 20.0, event_ns=2, feed="iex"))

    assert last.of("sip", "IBM").trade.price == 10.0
    assert last["IBM"].trade.price == 20.0


def test_what_is_newest_of_a_feed_and_late_for_its_symbol_is_the_feeds_alone(makes):
    last = OwnLastValues()
    last.update(makes.trade(1, 20.0, event_ns=2, feed="iex"))
    last.update(makes.trade(2, 10.0, event_ns=1, feed="sip"))

    assert last.of("sip", "IBM").trade.price == 10.0
    assert last["IBM"].trade.price == last.of("iex", "IBM").trade.price == 20.0
    assert last.of("sip", "AAPL").trade is None
    assert list(last) == ["IBM"]


def test_books_and_ticks_are_kept_whole_and_move_forward_only(makes):
    last = OwnLastValues()
    newest, tick = makes.book(1, 10.0, event_ns=50), makes.tick(2, 9.0, event_ns=50)
    for record in (newest, tick, makes.book(3, event_ns=49), makes.tick(4, event_ns=49)):
        last.update(record)

    assert last["IBM"].book is newest
    assert last["IBM"].tick is tick
    assert last["IBM"].quote is None


def test_a_book_of_a_second_leg_is_told_apart_by_its_feed(makes):
    last = OwnLastValues()
    last.update(makes.book(1, 10.0, event_ns=1))
    last.update(makes.book(2, 20.0, event_ns=2, feed="rts.b"))

    assert last.of("rts", "IBM").book.bid_prices == (10.0,)
    assert last["IBM"].book.bid_prices == (20.0,)


def test_what_never_came_is_empty_and_not_an_error(makes):
    last = OwnLastValues()

    assert last["IBM"].trade is None
    assert last.of("sip", "IBM").quote is None
    assert (last["IBM"].book, last["IBM"].tick) == (None, None)
    assert len(last) == 0


def test_a_gap_is_no_symbol(makes):
    last = OwnLastValues()
    last.update(makes.gap())
    last.update(makes.trade(1))

    assert list(last) == ["IBM"]


def test_an_order_book_is_put_together_and_none_before_its_first_change(makes):
    last = OwnLastValues()
    assert last["IBM"].order_book is None
    last.update(makes.order_book(1, [(9.0, 5.0)]))
    book = last["IBM"].order_book
    assert (book.is_valid, book.bids(), book.event_ns) == (False, (), 0), "no whole one came"

    last.update(makes.order_book(2, [(10.0, 1.0), (11.0, 2.0)], reset=True, event_ns=50))
    last.update(makes.order_book(3, [(11.0, 0.0), (9.0, 5.0)], event_ns=49))

    assert book is last["IBM"].order_book, "it moves with the records"
    assert (book.is_valid, book.event_ns) == (True, 49), "changes count in the order of receipt"
    assert (book.bids(), book.bids(1), book.asks()) == (
        ((10.0, 1.0), (9.0, 5.0)),
        ((10.0, 1.0),),
        (),
    )
    assert "is_valid=True" in repr(book)


def test_a_gap_of_its_feed_ends_an_order_book_until_the_next_whole_one(makes):
    last = OwnLastValues()
    last.update(makes.order_book(1, [(10.0, 1.0)], reset=True))
    last.update(makes.gap(2, feed="other"))
    assert last["IBM"].order_book.is_valid

    last.update(makes.gap(3))
    last.update(makes.order_book(4, [(9.0, 5.0)]))
    assert not last["IBM"].order_book.is_valid
    assert last["IBM"].order_book.bids() == ()

    last.update(makes.order_book(5, [(9.0, 5.0)], reset=True))
    assert last["IBM"].order_book.bids() == ((9.0, 5.0),)


def test_of_two_order_books_the_one_that_changed_last_is_the_symbols(makes):
    last = OwnLastValues()
    last.update(makes.order_book(1, [(10.0, 1.0)], reset=True, feed="us"))
    last.update(makes.order_book(1, [(20.0, 1.0)], reset=True, feed="eu"))
    assert last["IBM"].order_book.bids() == ((20.0, 1.0),)
    last.update(makes.order_book(2, feed="us"))

    assert last["IBM"].order_book.bids() == ((10.0, 1.0),)
    assert last.of("eu", "IBM").order_book.bids() == ((20.0, 1.0),)


def test_an_order_book_cannot_be_changed_by_the_strategy(makes):
    last = OwnLastValues()
    last.update(makes.order_book(1, [(10.0, 1.0)], reset=True))
    book = last["IBM"].order_book

    assert not {"apply", "invalidate"} & set(dir(book))


def test_the_last_status_is_kept_and_moves_forward_only(makes):
    last = OwnLastValues()
    last.update(makes.status(1, event_ns=50))
    last.update(makes.status(2, "Trading Resumption", event_ns=49))

    assert last["IBM"].status.status_message == "Trading Halt"


def test_of_two_order_books_a_valid_one_goes_before_one_that_is_not(makes):
    last = OwnLastValues()
    last.update(makes.order_book(1, [(10.0, 1.0)], reset=True, feed="us"))
    last.update(makes.order_book(1, [(20.0, 1.0)], feed="eu"))
    assert last["IBM"].order_book.bids() == ((10.0, 1.0),), "no whole one came of the other"

    last.update(makes.order_book(2, [(20.0, 1.0)], reset=True, feed="eu"))
    last.update(makes.gap(3, feed="eu"))
    last.update(makes.order_book(4, [(21.0, 1.0)], feed="eu"))
    assert not last.of("eu", "IBM").order_book.is_valid
    assert last["IBM"].order_book.bids() == ((10.0, 1.0),)

    last.update(makes.gap(5, feed="us"))
    assert not last["IBM"].order_book.is_valid
    last.update(makes.order_book(6, [(22.0, 1.0)], reset=True, feed="eu"))
    assert last["IBM"].order_book.bids() == ((22.0, 1.0),)


def test_a_change_that_an_order_book_has_already_does_not_make_it_the_symbols(makes):
    last = OwnLastValues()
    seen = makes.order_book(1, [(10.0, 1.0)], reset=True, feed="us")
    last.update(seen)
    last.update(makes.order_book(1, [(20.0, 1.0)], reset=True, feed="eu"))
    last.update(seen)

    assert last["IBM"].order_book.bids() == ((20.0, 1.0),)


def test_what_a_strategy_keeps_of_one_feed_never_shows_another_feeds(makes):
    """The only feed of a symbol and the symbol are one until somebody can tell them apart."""
    last = OwnLastValues()
    last.update(makes.trade(1, 10.0, event_ns=1, feed="sip"))
    last.update(makes.quote(2, 9.0, feed="sip"))
    symbol, own = last["IBM"], last.of("sip", "IBM")
    last.update(makes.trade(3, 20.0, event_ns=2, feed="iex"))
    last.update(makes.trade(4, 11.0, event_ns=3, feed="sip"))

    assert symbol is last["IBM"]
    assert own is last.of("sip", "IBM")
    assert (symbol.trade.price, own.trade.price) == (11.0, 11.0)
    assert last.of("iex", "IBM").trade.price == 20.0
    assert last.of("iex", "IBM").quote is None
    assert own.quote is symbol.quote


def test_a_symbols_second_feed_leaves_the_first_feeds_values_as_they_were(makes):
    last = OwnLastValues()
    for record in (
        makes.trade(1, 10.0, event_ns=5, feed="sip"),
        makes.quote(2, 9.0, event_ns=5, feed="sip"),
        makes.book(3, 8.0, event_ns=5, feed="sip"),
    ):
        last.update(record)
    symbol = last["IBM"]
    for record in (
        makes.trade(1, 20.0, event_ns=6, feed="iex"),
        makes.quote(2, 19.0, event_ns=4, feed="iex"),
        makes.book(3, 18.0, event_ns=6, feed="iex"),
    ):
        last.update(record)

    sip, iex = last.of("sip", "IBM"), last.of("iex", "IBM")
    assert (sip.trade.price, iex.trade.price, symbol.trade.price) == (10.0, 20.0, 20.0)
    assert (sip.quote.bid_price, iex.quote.bid_price, symbol.quote.bid_price) == (9.0, 19.0, 9.0)
    assert (sip.book.bid_prices, symbol.book.bid_prices) == ((8.0,), (18.0,))
    assert last["IBM"] is symbol
    assert list(last) == ["IBM"]
