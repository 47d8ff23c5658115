"""News: each article once, the latest change first, in pages of at most 50."""

import pytest

ALL = {"start": "1970-01-01"}


@pytest.fixture
def playing(tape_of, stream):
    def article(number, at, *symbols, content="<p>…</p>"):
        row = {"id": number, "event_ns": at, "updated_ns": at, "created_ns": 1, "content": content}
        texts = {"headline": f'"{number}"', "author": "A", "source": "benzinga", "url": "https://x"}
        return row | texts | {"summary": "", "symbols": list(symbols)}

    articles = [
        article(1, 1, "A"),
        article(2, 2, "B", "A"),
        article(3, 3),
        article(1, 4, "A"),
        article(5, 4, "B", content=""),
    ]
    return stream(tape_of("news", news=articles))


@pytest.fixture
def venue(ask, playing):
    return ask({"/v1beta1/news": playing})


def ids(venue, **query):
    found, token = [], None
    while not found or token:
        page = venue.get("/v1beta1/news", **ALL | query, **({"page_token": token} if token else {}))
        found += [article["id"] for article in page["news"]]
        token = page["next_page_token"]
    return found


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_articles_come_once_and_by_their_last_change(venue, limit):
    assert ids(venue, limit=limit) == [5, 1, 3, 2]
    assert ids(venue, limit=limit, sort="asc") == [2, 3, 1, 5]


def test_symbols_times_and_content_are_filters(venue):
    assert ids(venue, symbols="A") == [1, 2]
    assert ids(venue, end="1970-01-01T00:00:00.000000003Z") == [3, 2]
    assert ids(venue, exclude_contentless="true") == [1, 3, 2]


def test_a_version_that_was_not_sent_yet_is_not_shown(venue, playing):
    playing.rows_played = 3
    assert ids(venue) == [3, 2, 1]


def test_an_article_is_as_the_venue_prints_it(venue):
    query = {"symbols": "B", "limit": 1, "sort": "asc", **ALL}
    (article,) = venue.get("/v1beta1/news", **query)["news"]
    assert article == {
        **{"id": 2, "headline": '"2"', "author": "A", "summary": "", "content": ""},
        **{"created_at": "1970-01-01T00:00:00.000000001Z", "images": []},
        **{"updated_at": "1970-01-01T00:00:00.000000002Z", "url": "https://x"},
        **{"symbols": ["B", "A"], "source": "benzinga"},
    }
    (article,) = venue.get("/v1beta1/news", **query, include_content="true")["news"]
    assert article["content"] == "<p>…</p>"


def test_a_page_has_at_most_50_articles(venue):
    assert venue.error("/v1beta1/news", limit=51) == (422, "limit must be between 1 and 50")
    assert venue.error("/v1beta1/news", page_token="?")[0] == 400
