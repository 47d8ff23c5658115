"""What the config accepts, and that every fault is reported with its place, cure and no secret."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.config import CHANNELS, Config, load_config, parse_config
from ticktape.config.reading import fields_of
from ticktape.config.tables import TABLES
from ticktape.errors import EXIT_CONFIG, ConfigError

FEED = """
[[feed]]
name = "sip"
kind = "alpaca"
url = "wss://stream.data.alpaca.markets/v2/sip"
trades = ["AAPL"]
"""

# As venues make them: a key of 20, a secret of 40 letters and digits.
SECRET = "s3cr3tPLANTEDk9Q2w7Zx41vB8nM6pL0aRtYuIo5"


def parse(text, base=Path("/nowhere")):
    return parse_config(text, "tape.toml", base)


def faults(text, base=Path("/nowhere")):
    with pytest.raises(ConfigError) as caught:
        parse(text, base)
    assert caught.value.exit_code == EXIT_CONFIG
    assert all(fault.startswith("tape.toml: ") for fault in caught.value.faults)
    return [fault.removeprefix("tape.toml: ") for fault in caught.value.faults]


def feed_fault(**keys):
    """The one fault of a feed that is right but for `keys`, given as TOML."""
    given = {"name": '"sip"', "kind": '"alpaca"', "url": '"wss://host/v2"', "trades": '["AAPL"]'}
    lines = [f"{key} = {value}" for key, value in (given | keys).items() if value is not None]
    found = faults("[[feed]]\n" + "\n".join(lines))
    assert len(found) == 1, found
    return found[0]


def test_smallest_config_has_every_default():
    config = parse(FEED)
    assert config.directory == Path("/nowhere/tape")
    (feed,) = config.feed
    assert (feed.keys, feed.encoding, feed.proxy, feed.ca_file) == ("env", "json", "", "")
    assert (feed.auth, feed.stagger_s) == ("message", 0.5)
    assert (feed.connect_timeout_s, feed.ping_s, feed.pong_timeout_s) == (5, 10, 10)
    assert (feed.quiet_s, feed.stale_s, feed.backoff_max_s, feed.pin_cpu) == (60, 0, 30, -1)
    assert feed.max_frame_bytes == 64 * 2**20
    assert feed.channels() == {"trades": ("AAPL",)}
    journal = config.journal
    assert (journal.sync, journal.commit_ms, journal.segment_bytes) == ("group", 50, 268_435_456)
    assert (journal.memory_bytes, journal.reserve_bytes) == (268_435_456, 1_073_741_824)
    assert (config.table.commit_s, config.table.commit_rows) == (5, 100_000)
    assert config.decide == ()
    assert config.alert.command == ()


def test_every_channel_is_read():
    lists = "\n".join(f'{name} = ["A{number}"]' for number, name in enumerate(CHANNELS))
    # A stream that is not known here may have all of them.
    config = parse(FEED.replace("v2/sip", "v9/new").replace('trades = ["AAPL"]', lists))
    expected = {name: (f"A{number}",) for number, name in enumerate(CHANNELS)}
    assert config.feed[0].channels() == expected


def test_all_of_three_mistakes_are_reported_together():
    found = faults(
        FEED.replace("wss:", "http:") + '[journal]\ncommit_ms = 0\n[table]\ncommit_rows = "many"'
    )
    assert found == [
        'feed[1] "sip".url must begin with ws:// or wss://',
        "journal.commit_ms is 0; it must be a whole number from 1 to 10000",
        "table.commit_rows must be a whole number from 1 to 10000000",
    ]


def test_several_mistakes_in_one_table_are_all_reported():
    found = faults('[[feed]]\nkind = "alpacca"\nping = 3\nquiet_s = -1\ntrades = ["aapl"]')
    assert [fault.split()[0] for fault in found] == [
        "feed[1].ping",
        "feed[1].name",
        "feed[1].quiet_s",
        "feed[1].kind",
        "feed[1].url",
        "feed[1].trades[1]",
    ]


def test_one_error_shows_all_faults_and_a_next_step():
    with pytest.raises(ConfigError) as caught:
        parse(FEED + FEED.replace('alpaca"', 'x"'))
    text = str(caught.value)
    assert text.startswith("2 faults:")
    assert "\n  → Nothing was opened." in text


def test_a_config_without_a_feed_is_refused():
    assert faults("") == ["feed is missing: there is nothing to record; begin a table [[feed]]"]
    assert faults("feed = []")[0].startswith("feed is missing")


def test_brackets_are_told_apart():
    assert faults(FEED.replace("[[feed]]", "[feed]"))[0].startswith("feed is a list of tables")
    assert faults(FEED + "[[journal]]\ncommit_ms = 5")[0].startswith("journal is one table")
    assert faults("journal = 3\n" + FEED) == ["journal must be a table"]
    assert faults('feed = ["sip"]') == [
        "feed[1] must be a table",
        *[f"feed[1].{key} is missing; it must be a text in quotes" for key in ("name", "kind")],
        "feed[1].url is missing; it must begin with ws:// or wss://",
        'feed[1] asks for nothing; give it symbols, like trades = ["AAPL"]',
    ]


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        ('updatedBars = ["A"]', 'did you mean "updated_bars"?'),
        ("pings = 3", 'did you mean "ping_s"?'),
        ("commit_ms = 3", "it belongs in [journal]"),
        ('directory = "x"', "it belongs at the top, before the first table"),
        ("xyz = 3", "xyz is not a key here"),
    ],
)
def test_unknown_key_is_named_with_its_cure(wrong, cure):
    (fault,) = faults(FEED + wrong)
    assert fault.startswith('feed[1] "sip".')
    assert cure in fault


def test_unknown_key_at_the_top_is_a_fault():
    assert faults("direktory = 'x'\n" + FEED) == [
        'direktory is not a key here; did you mean "directory"?'
    ]
    assert faults(FEED + "[jurnal]\ncommit_ms = 3")[0].startswith("jurnal is not a")


@pytest.mark.parametrize("name", ["", "Sip", ".x", "a" * 17, "a b", "ü", "a/b", "-a"])
def test_a_name_that_cannot_be_a_folder_is_refused(name):
    assert "must be 1 to 16 of a-z 0-9" in feed_fault(name=f'"{name}"')


@pytest.mark.parametrize("name", ["a", "sip", "0", "a" * 16, "a.b_c-d"])
def test_a_good_name_is_accepted(name):
    assert parse(FEED.replace('"sip"', f'"{name}"')).feed[0].name == name


def test_names_that_collide_are_refused():
    assert "name of another feed" in faults(FEED + FEED)[0]
    assert "healed gaps" in feed_fault(name='"sip.rest"')


@pytest.mark.parametrize(
    ("keys", "cure"),
    [
        ({"kind": '"alpacca"'}, 'did you mean "alpaca"?'),
        ({"kind": '"mt6"'}, 'must be "alpaca" or "alpaca_v1" or "mt5"; did you mean "mt5"?'),
        ({"kind": '"MT5"'}, 'did you mean "mt5"?'),
        ({"books": '["AAPL"]'}, "books is not for kind alpaca; leave it out"),
        ({"ticks": '["AAPL"]'}, "ticks is not for kind alpaca; leave it out"),
        ({"legs": "2"}, "legs is for kind mt5; make a second [[feed]] instead"),
        ({"name": '"sip.b"'}, "must not end in .b: that is a second leg's journal"),
        ({"url": None}, "url is missing; it must begin with ws:// or wss://"),
        ({"kind": None}, "is missing"),
        ({"url": '"http://host"'}, "must begin with ws:// or wss://"),
        ({"url": '"stream.host/v2"'}, "must begin with ws:// or wss://"),
        ({"url": '"wss://"'}, "is not a URL"),
        ({"url": '"wss://host:99999"'}, "is not a URL"),
        ({"url": '"wss://[::1"'}, "is not a URL"),
        ({"url": '"wss://user:pass@host"'}, "secrets never stand in this file"),
        ({"url": '"wss://host/?token=1"'}, "secrets never stand in this file"),
        ({"auth": '"header"'}, 'did you mean "headers"?'),
        ({"stagger_s": "-1"}, "is -1; it must be a number from 0 to 300"),
        ({"encoding": '"jsn"'}, 'did you mean "json"?'),
        ({"trades": "[]"}, "asks for nothing"),
        ({"trades": '"AAPL"'}, "must be a list of texts"),
        ({"trades": "[1]"}, "must be a list of texts"),
        ({"trades": '["aapl"]'}, "must be a symbol in upper case"),
        ({"trades": '["A", "A"]'}, "trades[2] stands in the list twice"),
        ({"trades": '["A\\n"]'}, "cannot be printed"),
        ({"proxy": '"host:3128"'}, "must begin with http://"),
        ({"proxy": '"http://u:p@host:3128"'}, 'write proxy = "env"'),
        ({"ca_file": '"nowhere.pem"'}, "is not there"),
        ({"ping_s": "0"}, "is 0; it must be a number from 0.1 to 3600"),
        ({"ping_s": "nan"}, "is nan; it must be a number"),
        ({"ping_s": "inf"}, "is inf; it must be a number"),
        ({"ping_s": "true"}, "must be a number from 0.1 to 3600"),
        ({"pong_timeout_s": "11"}, "must not be over ping_s, which is 10"),
        ({"connect_timeout_s": "1000"}, "is 1000; it must be a number from 0.1 to 300"),
        ({"max_frame_bytes": "1000"}, "from 1048576 to 134217728"),
        ({"pin_cpu": "-2"}, "from -1 to 1023"),
        ({"pin_cpu": "0.5"}, "is 0.5; it must be a whole number"),
        ({"kind": '"alpaca_v1"', "daily_bars": '["A"]'}, "not in the protocol of alpaca_v1"),
        ({"kind": '"alpaca_v1"', "trades": '["*"]'}, '"*" for bars only'),
        ({"kind": '"alpaca_v1"', "encoding": '"msgpack"'}, 'must be "json"'),
        ({"kind": '"alpaca_v1"', "auth": '"headers"'}, 'must be "message"'),
    ],
)
def test_each_fault_of_a_feed_names_its_cure(keys, cure):
    assert cure in feed_fault(**keys)


@pytest.mark.parametrize(
    ("table", "cure"),
    [
        ('[journal]\nsync = "grup"', 'must be "each" or "group" or "os"; did you mean "group"?'),
        ("[journal]\nsegment_bytes = 1", "from 65536 to"),
        ("[journal]\nmemory_bytes = 1", "from 1048576 to"),
        ("[journal]\nreserve_bytes = -1", "is -1; it must be a whole number from 0 to"),
        ("[table]\ncommit_s = 0", "a number from 0.05 to 3600"),
        ("[table]\ncommit_rows = 0", "a whole number from 1 to 10000000"),
        ('[alert]\ncommand = "beep"', "must be a list of texts"),
        ('[alert]\ncommand = [""]', "must begin with a program"),
    ],
)
def test_each_fault_of_the_other_tables_names_its_cure(table, cure):
    (fault,) = faults(FEED + table)
    assert cure in fault


def test_ca_file_has_no_use_without_tls(tmp_path):
    (tmp_path / "ca.pem").touch()
    text = FEED + 'ca_file = "ca.pem"'
    assert parse(text, tmp_path).feed[0].ca_file == str(tmp_path / "ca.pem")
    assert "has no use with ws://" in faults(text.replace("wss:", "ws:"), tmp_path)[0]


def test_strategies_are_named_after_their_files(tmp_path):
    (tmp_path / "momentum.py").touch()
    (decide,) = parse(FEED + '[[decide]]\nfile = "momentum.py"', tmp_path).decide
    assert (decide.file, decide.name) == (tmp_path / "momentum.py", "momentum")
    assert (decide.gate, decide.wait) == ("written", "block")
    assert (decide.on_restart, decide.on_error, decide.class_name) == ("replay", "stop", "")


@pytest.mark.parametrize(
    ("lines", "cure"),
    [
        ('file = "gone.py"', "is not there; name a .py file"),
        ('file = "notes.txt"', "is not there; name a .py file"),
        ("", "file is missing; it must be a path in quotes"),
        ("file = 3", "must be a path in quotes"),
        ('file = "Momentum.py"', "left out, it is the file's name"),
        ('file = "a.py"\nname = "A B"', "must be 1 to 16"),
        ('file = "a.py"\nclass_name = "a b"', "must be the name of a class"),
        ('file = "a.py"\ngate = "syncd"', 'did you mean "synced"?'),
        ('file = "a.py"\nwait = "sleep"', 'must be "block" or "spin"'),
        ('file = "a.py"\non_restart = "x"', 'must be "replay" or "resume"'),
        ('file = "a.py"\non_error = "x"', 'must be "detach" or "stop"'),
        ('file = "a.py"\n[[decide]]\nfile = "a.py"', "name of another [[decide]]"),
    ],
)
def test_each_fault_of_a_strategy_names_its_cure(tmp_path, lines, cure):
    for name in ("a.py", "Momentum.py", "notes.txt"):
        (tmp_path / name).touch()
    (fault,) = faults(FEED + "[[decide]]\n" + lines, tmp_path)
    assert cure in fault


@pytest.mark.parametrize(
    "value", ["[" * 50_000, "1" * 5_000], ids=["lists in lists", "a number of 5,000 digits"]
)
def test_text_that_breaks_the_reader_of_toml_is_a_fault_like_any_other(value):
    (fault,) = faults(FEED + f"quotes = {value}")
    assert fault.startswith("is not TOML: ")


def test_text_that_is_not_toml_says_the_line():
    (fault,) = faults(FEED + "quotes = [AAPL]")
    assert fault.startswith("is not TOML: ")
    assert "line 7" in fault


TERMINAL = """
[[feed]]
name = "rts"
kind = "mt5"
books = ["RIZ6"]
"""


def terminal_fault(**keys):
    """The one fault of a terminal's feed that is right but for `keys`, given as TOML."""
    given = {"name": '"rts"', "kind": '"mt5"', "books": '["RIZ6"]'}
    lines = [f"{key} = {value}" for key, value in (given | keys).items() if value is not None]
    found = faults("[[feed]]\n" + "\n".join(lines))
    assert len(found) == 1, found
    return found[0]


def test_smallest_config_of_a_terminal_has_every_default():
    (feed,) = parse(TERMINAL).feed
    assert (feed.terminal, feed.server, feed.url, feed.keys) == ("module", "", "", "env")
    assert (feed.poll_ms, feed.tick_ms, feed.legs, feed.push, feed.hang_s) == (
        "auto",
        100.0,
        1,
        True,
        30.0,
    )
    assert feed.channels() == {"books": ("RIZ6",)}
    assert feed.journals() == ("rts",)


def test_a_terminals_feed_may_ask_for_ticks_alone_and_for_names_of_any_kind():
    text = TERMINAL.replace('books = ["RIZ6"]', 'ticks = ["GOLD.i#", "eurusd", "Öl", "DE 40"]')
    assert parse(text).feed[0].ticks == ("GOLD.i#", "eurusd", "Öl", "DE 40")


def test_two_legs_write_two_journals():
    (feed,) = parse(TERMINAL + "legs = 2").feed
    assert feed.journals() == ("rts", "rts.b")


@pytest.mark.parametrize("pace", [0, 0.5, 2, 60_000, '"auto"'])
def test_a_pace_is_a_number_or_auto(pace):
    (feed,) = parse(TERMINAL + f"poll_ms = {pace}").feed
    assert feed.poll_ms == (pace if pace != '"auto"' else "auto")


@pytest.mark.parametrize(
    ("keys", "cure"),
    [
        ({"url": '"wss://host/v2"'}, "url is not for kind mt5; terminal = … says where it is"),
        ({"ca_file": '"nowhere.pem"'}, "ca_file is not for kind mt5"),
        ({"proxy": '"host"'}, "proxy is not for kind mt5"),
        ({"trades": '["AAPL"]'}, "trades is not for kind mt5; leave it out"),
        ({"books": None}, 'asks for nothing; give it symbols, like books = ["EURUSD"]'),
        ({"books": "[]"}, "asks for nothing"),
        ({"books": '["*"]'}, "books[1] must be a symbol as Market Watch shows it"),
        ({"books": '[" "]'}, "books[1] must be a symbol as Market Watch shows it"),
        ({"books": '["A", "A"]'}, "books[2] stands in the list twice"),
        ({"ticks": f'["{"A" * 31}"]'}, "longer than the 30 characters that a terminal takes"),
        ({"books": '"RIZ6"'}, "must be a list of texts"),
        ({"poll_ms": "-1"}, 'is -1; it must be a number from 0 to 60000 or "auto"'),
        ({"poll_ms": "60_001"}, 'is 60001; it must be a number from 0 to 60000 or "auto"'),
        ({"poll_ms": "nan"}, "is nan; it must be a number"),
        ({"poll_ms": '"fast"'}, 'must be a number from 0 to 60000 or "auto"'),
        ({"poll_ms": '"atuo"'}, 'did you mean "auto"?'),
        ({"tick_ms": "0"}, "is 0; it must be a number from 1 to 60000"),
        ({"legs": "3"}, "is 3; it must be a whole number from 1 to 2"),
        ({"hang_s": "0"}, "is 0; it must be a number from 1 to 3600"),
        ({"push": "1"}, "push must be"),
        ({"terminal": '""'}, 'must be "module", a path or rpyc://host:port'),
        ({"terminal": '"  "'}, 'must be "module", a path or rpyc://host:port'),
        ({"terminal": "5"}, "must be a text in quotes"),
        ({"terminal": '"rpyc://127.0.0.1"'}, "must be like rpyc://127.0.0.1:18812"),
        ({"terminal": '"rpc://127.0.0.1:18812"'}, "must be like rpyc://127.0.0.1:18812"),
        ({"terminal": '"rpyc://me:secret@127.0.0.1:18812"'}, "must be like rpyc://"),
        ({"name": '"a234567890123456"', "legs": "2"}, "must be at most 14 long with legs = 2"),
        ({"name": '"rts.b"'}, "that is a second leg's journal"),
        ({"keys": '"123456"'}, "secrets never stand in this file"),
    ],
)
def test_each_fault_of_a_terminals_feed_names_its_cure(keys, cure):
    assert cure in terminal_fault(**keys)


def test_paths_of_terminals_count_from_the_configs_folder(tmp_path):
    for given_as, wanted in [
        ("module", "module"),
        ("rpyc://127.0.0.1:18812", "rpyc://127.0.0.1:18812"),
        ("C:/Program Files/MetaTrader 5/terminal64.exe", None),
        ("mt5/terminal64.exe", str(tmp_path / "mt5" / "terminal64.exe")),
    ]:
        text = TERMINAL + f'terminal = "{given_as}"'
        assert parse(text, tmp_path).feed[0].terminal == (wanted or given_as)


# Every place in which a person might put a secret, with the secret as {}.
LEAKS = [
    FEED + 'key = "{}"',
    FEED + 'secret = "{}"',
    FEED + 'APCA_API_SECRET_KEY = "{}"',
    FEED + 'keys = "{}"',
    FEED + 'keys = "env:{}"',
    FEED + 'keys = ["{}", "{}"]',
    FEED + '[feed.keys]\nkey = "{}"\nsecret = "{}"',
    FEED + "keys = {}",
    FEED + '"{}" = 1',
    FEED + '{} = "{}"',
    FEED + 'ping_s = "{}"',
    FEED + 'encoding = "{}"',
    FEED + 'quotes = ["{}"]',
    FEED + 'proxy = "http://user:{}@host"',
    FEED + 'proxy = "{}"',
    FEED + 'ca_file = "{}"',
    FEED + '[{}]\nkey = "{}"',
    FEED + '[journal]\nsync = "{}"',
    FEED + '[alert]\ncommand = "{}"',
    FEED + '[[decide]]\nfile = "{}"',
    FEED.replace('"sip"', '"{}"'),
    FEED.replace('"alpaca"', '"{}"'),
    FEED.replace("wss://", "wss://user:{}@"),
    FEED.replace("/v2/sip", "/v2/sip?secret={}"),
    FEED.replace("wss://", "{}://"),
    TERMINAL + 'terminal = "rpyc://{}@host:1"',
    TERMINAL + 'terminal = "http://{}"',
    TERMINAL + 'server = ["{}"]',
    TERMINAL + 'poll_ms = "{}"',
    TERMINAL + 'url = "{}"',
    TERMINAL + 'ticks = ["{}"]',
    TERMINAL + 'keys = "{}"',
    TERMINAL + 'password = "{}"',
    'directory = {}\nfeed = "{}"',
    'feed = "{}"',
    'journal = "{}"\n' + FEED,
]


@pytest.mark.parametrize("text", LEAKS)
def test_no_fault_repeats_a_secret_wherever_it_stands(text):
    with pytest.raises(ConfigError) as caught:
        parse(text.replace("{}", SECRET))
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.faults}"
    assert not any(SECRET[start : start + 8] in str(caught.value) for start in range(32))
    assert caught.value.__cause__ is None


def test_secrets_in_the_file_are_refused_with_the_cure():
    for text in LEAKS[:7]:
        assert "set APCA_API_KEY_ID and APCA_API_SECRET_KEY" in str(faults(text)), text


@given(st.dictionaries(st.text(string.ascii_lowercase + "_", min_size=1), st.integers()))
def test_unknown_keys_of_any_name_are_each_one_fault(extra):
    known = {field.name for field in fields_of(Config)} | {"feed", "decide"}
    known |= {head.strip("[]") for head in TABLES}
    unknown = {key: value for key, value in extra.items() if key not in known}
    text = "\n".join(f"{key} = {value}" for key, value in unknown.items()) + FEED
    if unknown:
        assert len(faults(text)) == len(unknown)
    else:
        assert len(parse(text).feed) == 1


def test_load_reads_a_file_and_counts_paths_from_its_folder(tmp_path):
    path = tmp_path / "tape.toml"
    # As an editor on Windows saves it.
    path.write_bytes(
        b"\xef\xbb\xbf" + ('directory = "out"\n' + FEED).replace("\n", "\r\n").encode()
    )
    config = load_config(path)
    assert config.directory == tmp_path / "out"


def test_load_of_an_unreadable_file_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"No such file.*\n.*ticktape init"):
        load_config(tmp_path / "gone.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "tape.toml").write_bytes(b"\xff\xfe" + SECRET.encode())
    with pytest.raises(ConfigError, match="is not UTF-8") as caught:
        load_config(tmp_path / "tape.toml")
    assert caught.value.__cause__ is None


def test_paths_of_keys_are_absolute_but_for_the_home(tmp_path):
    for given_as, wanted in [
        ("file:keys", f"file:{tmp_path / 'keys'}"),
        ("file:/etc/keys", "file:/etc/keys"),
        ("file:~/keys", "file:~/keys"),
        ("keyring:alpaca", "keyring:alpaca"),
    ]:
        assert parse(FEED + f'keys = "{given_as}"', tmp_path).feed[0].keys == wanted
