"""`ticktape dashboard`: the page of a run."""

import errno
import secrets
import socket
import webbrowser
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ticktape.cli.terminal import errors, print_json
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError
from ticktape.replay.places import open_run

if TYPE_CHECKING:
    from ticktape.dashboard.server import Server

_PACKAGES = ("starlette", "uvicorn", "websockets", "prometheus_client")
PORT = 8321


class Opened(NamedTuple):
    """A page that is about to be served, and the address that opens it."""

    server: "Server"
    url: str


def dashboard(
    directory: Path,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    open: bool = False,
    json: bool = False,
) -> int:
    """Serve the page of a run, live or over, until Ctrl-C.

    It shows how the run stands, feeds, last values, books, trades and their way through the stages,
    latency, the day's gaps, the certificate and the disk. It only reads files: the recorder does
    not notice. On loopback everybody on this machine may look; with another --host only who has
    the address that is printed, which holds a token.

    Parameters
    ----------
    directory
        The run's directory; one that a recorder has at work may be looked at, too.
    host
        The address to listen at.
    port
        The port; 0 takes a free one.
    open
        Open the page in a browser.
    json
        Print `{"url": …}` as soon as the page is there, and nothing else.
    """
    opened = open_page(open_run(directory), host, port)
    if json:
        print_json({"url": opened.url})
    else:
        errors.print(f"{opened.url}\nCtrl-C ends the page, and nothing else.", markup=False)
    if open:
        with suppress(webbrowser.Error):
            webbrowser.open(opened.url)
    with suppress(KeyboardInterrupt):
        opened.server.run()
    return 0


def open_page(directory: RunDirectory, host: str, port: int) -> Opened:
    """Listen at an address; what comes is answered once the server runs.

    Raises:
        ConfigError: the web server is not installed, or the address cannot be had.
    """
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        raise ConfigError(
            [f"the page needs the package {name}" for name in missing],
            hint="Run: pip install 'ticktape[web]'",
        )
    from ticktape.dashboard.guard import Guard, is_loopback
    from ticktape.dashboard.server import Server
    from ticktape.replay.dashboard import RunSource, ask_command
    from ticktape.replay.metrics import RunMetrics

    listening = _listen(host, port)
    port = int(listening.getsockname()[1])
    token = secret = ""
    if not is_loopback(host):
        token, secret = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    guard = Guard(host, port, token, secret, (socket.gethostname(),))
    metrics = RunMetrics(directory).text
    server = Server(listening, guard, RunSource(directory), ask_command(directory), metrics)
    return Opened(server, _url(host, port, token))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        words = str(error)
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            words = "something listens there already"
        raise ConfigError(
            [f"cannot listen at {host} port {port}: {words}"],
            hint="Is another page open there? Say --port 0 for a free one.",
        ) from error


def _url(host: str, port: int, token: str) -> str:
    name = host
    if host in ("0.0.0.0", "::"):
        name = _own_address(host)
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def _own_address(host: str) -> str:
    """The address by which others most likely reach this machine; nothing is sent to find it."""
    family, elsewhere = (
        (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    )
    with suppress(OSError), closing(socket.socket(family, socket.SOCK_DGRAM)) as asking:
        asking.connect((elsewhere, 9))
        return str(asking.getsockname()[0])
    return socket.gethostname()
