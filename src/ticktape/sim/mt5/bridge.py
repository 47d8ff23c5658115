"""The module over the network, as a Windows Python under Wine serves it: rpyc's classic server.

A process of its own, as there: a call that hangs freezes this server and not the terminal. Run by
`ticktape sim mt5 --rpyc-port`; `python -m ticktape.sim.mt5.bridge PORT`, with the terminal in
TICKTAPE_SIM_MT5, prints the port and serves until stdin closes. Anyone who reaches the port can run
code here, so that it listens on this machine only.
"""

import os
import sys
import threading
from importlib import import_module
from pathlib import Path

HOST = "127.0.0.1"


def serve(port: int) -> None:
    """Serve for ever; port 0 takes a free one."""
    # Before the first client: `import MetaTrader5` is then the simulated one, for all of them.
    sys.path.insert(0, str(Path(__file__).parent / "as_module"))
    import_module("MetaTrader5")
    make = import_module("rpyc.utils.server").ThreadedServer
    service = import_module("rpyc.core.service").SlaveService
    server = make(service, hostname=HOST, port=port, reuse_addr=True)
    server.listener.listen(server.backlog)  # before it is told, so that nobody comes too early
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    # A daemon, because a blocked read of stdin cannot be called off.
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    server.start()


def _end_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
