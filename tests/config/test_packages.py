"""Kinds of feed that installed packages bring: known by name, imported late, blamed by name."""

import sys

import pytest

from ticktape.cli.doctor import _handler
from ticktape.cli.running import keys_of
from ticktape.config import Keys, hours_of, parse_config
from ticktape.config.packages import DECODERS, FEEDS, _named, load
from ticktape.decoders import Decoder, decoder_for
from ticktape.errors import ConfigError
from ticktape.feeds import protocol_maker, upgrade_headers

FEED = """
[[feed]]
name = "own"
kind = "acme"
url = "ws://127.0.0.1:1/stream"
trades = ["Gold Bar", "rope"]
orderbooks = ["*"]
"""
BOTH = {FEEDS: "acme = acme_module:Protocol", DECODERS: "acme = acme_module:Wire"}
MODULE = """
class Protocol:
    def __init__(self, key, secret, wanted):
        self.given = key, secret, wanted

class Wire:
    reads, shapes, controls = (None, None), {}, frozenset()

class Whole:
    def __init__(self, feed):
        self.feed = feed
    def decode(self, block):
        return []
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution on the path, as an installer does."""
    monkeypatch.syspath_prepend(str(tmp_path))
    _named.cache_clear()

    def put(name="acme-ticktape", groups=BOTH, module=MODULE):
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        text = "\n".join(f"[{group}]\n{line}" for group, line in groups.items())
        (info / "entry_points.txt").write_text(text)
        (tmp_path / "acme_module.py").write_text(module)

    yield put
    _named.cache_clear()
    sys.modules.pop("acme_module", None)


def parse(text, tmp_path):
    return parse_config(text, "tape.toml", tmp_path)


def faults(text, tmp_path):
    with pytest.raises(ConfigError) as caught:
        parse(text, tmp_path)
    return [fault.removeprefix('tape.toml: feed[1] "own".') for fault in caught.value.faults]


def test_a_kind_of_a_package_is_taken_without_importing_it(install, tmp_path):
    install(module="raise RuntimeError('imported')")
    (feed,) = parse(FEED, tmp_path).feed
    assert feed.channels() == {"trades": ("Gold Bar", "rope"), "orderbooks": ("*",)}
    assert "acme_module" not in sys.modules
    assert hours_of(feed) == "always"
    (feed,) = parse(FEED + 'hours = "fx"', tmp_path).feed
    assert hours_of(feed) == "fx"


def test_a_config_of_our_own_kinds_looks_for_no_package(install, tmp_path):
    install()
    parse(FEED.replace('"acme"', '"alpaca"').replace('"Gold Bar", "rope"', '"A"'), tmp_path)
    assert _named.cache_info().currsize == 0


def test_an_unknown_kind_is_told_what_is_installed_and_how_to_make_one(install, tmp_path):
    install()
    (fault,) = faults(
        FEED.replace('"acme"', '"acne"').replace("Gold Bar", "A").replace("rope", "B"), tmp_path
    )
    assert 'must be "alpaca" or "alpaca_v1" or "mt5" or "acme"; did you mean "acme"?' in fault
    assert "docs/how-to/own-feed.md" in fault


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('books = ["A"]', "books is not for kind acme; leave it out"),
        ("legs = 2", "legs is for kind mt5; make a second [[feed]] instead"),
        ('heal = "http://127.0.0.1:1"', "heal is for kind alpaca; leave it out"),
        ('encoding = "msgpack"', "encoding is for kind alpaca; a package has its own way"),
        ('auth = "headers"', "auth is for kind alpaca; a package has its own way"),
        ('quotes = [" "]', "quotes[1] must not be empty"),
        ('quotes = ["a", "a"]', "quotes[2] stands in the list twice; take one out"),
    ],
)
def test_what_a_package_cannot_have_is_said(install, tmp_path, line, fault):
    install()
    assert faults(FEED + line, tmp_path) == [fault]


def test_a_package_without_a_decoder_is_named(install, tmp_path):
    install(groups={FEEDS: BOTH[FEEDS]})
    (fault,) = faults(FEED, tmp_path)
    assert fault.startswith("kind is of the package acme-ticktape 1.0, which names no decoder")


def test_two_packages_of_one_kind_are_both_named(install, tmp_path):
    install()
    install("other-acme")
    (fault,) = faults(FEED, tmp_path)
    assert "package acme-ticktape 1.0" in fault
    assert "package other-acme 1.0" in fault


def test_a_package_cannot_stand_for_a_kind_of_ours(install):
    install(
        groups={FEEDS: "alpaca = acme_module:Protocol", DECODERS: "alpaca_rest = acme_module:Wire"}
    )
    assert protocol_maker("alpaca_v1").__module__ == "ticktape.feeds.alpaca_v1"
    assert _named(FEEDS) == _named(DECODERS) == {}
    with pytest.raises(ConfigError, match="is not known"):
        load(DECODERS, "alpaca_rest")


def test_what_a_package_names_is_made(install):
    install(groups=BOTH | {DECODERS: "acme = acme_module:Wire\nwhole = acme_module:Whole"})
    assert protocol_maker("acme")("k", "s", {}).given == ("k", "s", {})
    assert upgrade_headers("acme", "k", "s", encoding="json", auth="message") == {}
    decoder: Decoder = decoder_for("acme", "own")
    assert (decoder.feed, decoder.tables([])) == ("own", {})
    assert decoder_for("whole", "own").feed == "own"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError"),
        ("class Wired: ...", "AttributeError"),
        ("Wire = Protocol = 3", "TypeError: it is no class"),
    ],
)
def test_a_package_that_cannot_be_used_is_named_with_its_cure(install, module, words):
    install(module=module)
    for use in (lambda: protocol_maker("acme"), lambda: decoder_for("acme", "own")):
        with pytest.raises(
            ConfigError, match=r"of the package acme-ticktape 1\.0, whose"
        ) as caught:
            use()
        assert words in caught.value.faults[0]
        assert "Mend it" in caught.value.hint


def test_a_wire_that_cannot_be_made_is_named(install):
    install(module=MODULE.replace("reads, shapes", "reads, forms"))
    with pytest.raises(ConfigError, match=r"acme_module:Wire cannot be used \(AttributeError"):
        decoder_for("acme", "own")


def test_headers_that_fail_do_not_show_the_keys(install):
    said = (
        "    @staticmethod\n    def upgrade_headers(key, secret):\n        raise ValueError(secret)"
    )
    install(module=MODULE.replace("class Protocol:", f"class Protocol:\n{said}"))
    with pytest.raises(ConfigError, match="fails with ValueError") as caught:
        upgrade_headers("acme", "k", "planted", encoding="json", auth="message")
    assert "planted" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_doctor_imports_the_package_and_says_whether_it_can_be_used(install, tmp_path):
    install()
    (feed,) = parse(FEED, tmp_path).feed
    (found,) = _handler(feed)
    assert (found.level, found.what) == ("ok", "package")
    assert "is of the package acme-ticktape 1.0" in found.words
    (tmp_path / "acme_module.py").write_text("import no_such_module")
    sys.modules.pop("acme_module")
    (found,) = _handler(feed)
    assert (found.level, found.what) == ("fault", "package")
    assert "no_such_module" in found.words


def test_no_package_gets_the_keys_of_the_environment(install, tmp_path, monkeypatch):
    """They are Alpaca's, and would go to another venue."""
    install()
    monkeypatch.setenv("APCA_API_KEY_ID", "planted-key")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "planted-secret")
    assert keys_of(parse(FEED, tmp_path)) == {"own": Keys("", "")}
    file = tmp_path / "own.keys"
    file.write_text("k\ns\n")
    file.chmod(0o600)
    assert keys_of(parse(FEED + 'keys = "file:own.keys"', tmp_path)) == {"own": Keys("k", "s")}


def test_a_kind_that_nobody_has_any_more_is_said_to_a_reader(install):
    with pytest.raises(
        ConfigError, match=r"kind 'acme' is not known: no installed package"
    ) as caught:
        decoder_for("acme", "own")
    assert "own-feed.md" in caught.value.hint
