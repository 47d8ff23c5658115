"""The page in a process of its own, as record and demo start it."""

import contextlib
import http.client
import socket

import pytest

from ticktape.cli.dashboard_child import PageProcess
from ticktape.errors import ConfigError


def status(url):
    port = int(url.rstrip("/").rpartition(":")[2])
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, 240)) as asking:
        asking.request("GET", "/")
        return asking.getresponse().status


def test_a_page_is_served_of_a_run_that_is_not_there_yet_and_ends_with_its_parent(tmp_path):
    with PageProcess(tmp_path / "tape", port=0) as page:
        assert status(page.url) == 200
    with pytest.raises(ConnectionError):
        status(page.url)
    page.close()


def test_a_port_that_is_taken_is_told_when_it_was_asked_for(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError) as refused:
        PageProcess(tmp_path, port=taken.getsockname()[1])
    assert "cannot listen" in str(refused.value)


def test_beyond_loopback_the_address_holds_a_token(tmp_path):
    with PageProcess(tmp_path, "0.0.0.0", 0) as page:
        address, _, token = page.url.partition("/?token=")
        assert len(token) >= 32
        assert not address.startswith("http://0.0.0.0")
