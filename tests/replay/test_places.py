"""Opening a run: what is no run is said, and who is at work is seen without being disturbed."""

import pytest
from filelock import FileLock

from ticktape.errors import ConfigError
from ticktape.replay.places import boots_of, feed_kinds, is_live, open_run


def test_a_folder_without_a_run_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="no ticktape run here") as caught:
        open_run(tmp_path)

    assert "make demo" in caught.value.hint


def test_a_run_is_opened_and_its_feeds_have_kinds(made):
    assert feed_kinds(open_run(made.directory.root)) == {"sip": "alpaca"}


@pytest.mark.parametrize("text", ["", "[[feed]]\nname = 1", "not toml at all ["])
def test_a_broken_config_is_named(made, text):
    made.directory.config.write_text(text)

    with pytest.raises(ConfigError, match=r"run.toml: cannot be read"):
        feed_kinds(made.directory)


def test_a_run_is_live_while_its_lock_is_held(made):
    assert not is_live(made.directory)
    with FileLock(made.directory.lock):
        assert is_live(made.directory)
    assert not is_live(made.directory)


def test_a_segment_with_a_damaged_header_says_nothing_of_its_boot(made):
    assert set(boots_of(made.directory, "sip")) == {0}
    for path in made.segments():
        path.write_bytes(b"damaged!" + path.read_bytes()[8:])

    assert boots_of(made.directory, "sip") == {}
