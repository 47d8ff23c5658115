"""What holds for every test: nothing of the developer's own environment reaches it."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# A noisy machine is slow at times: that is no fault of the code. A failure prints how to repeat it.
settings.register_profile(
    "ticktape", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ticktape")

_FOREIGN = ("APCA_", "TICKTAPE_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def pytest_configure(config):
    """Drop real keys, failpoints and proxies, for child processes inherit them."""
    for name in [name for name in os.environ if name.upper().startswith(_FOREIGN)]:
        del os.environ[name]
    keep_niceness()


def keep_niceness():
    """Tests that run a child's work in this process must not slow down all that come after them."""
    if hasattr(os, "nice"):
        nice = os.nice
        os.nice = lambda _: nice(0)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep tests that share something dear in one worker, which then makes it once."""
    for item in items:
        shared = _shared(item)
        if shared:
            item.add_marker(pytest.mark.xdist_group(shared))


def _shared(item):
    """The module and what its lasting fixtures are made of; "" if none of ours outlives a test."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = {} if info is None else info.name2fixturedefs
    names = [
        name
        for name, found in definitions.items()
        if found[-1].scope != "function" and found[-1].func.__module__.startswith(("test", "conft"))
    ]
    if not names:
        return ""
    of_item = item.callspec.params if hasattr(item, "callspec") else {}
    made_of = [f"{name}={of_item[name]}" for name in sorted(names) if name in of_item]
    return "|".join([item.nodeid.partition("::")[0], *made_of])


@pytest.fixture(autouse=True)
def own_module_path():
    """Loading a strategy adds its folder to the module path: no other test may see that."""
    before = list(sys.path)
    yield
    sys.path[:] = before
