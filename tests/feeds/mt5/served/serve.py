"""rpyc's own classic server, with the stand-in beside it; prints its port."""

import os
import sys
import threading

from rpyc.core.service import SlaveService
from rpyc.utils.server import ThreadedServer

port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
server = ThreadedServer(SlaveService, hostname="127.0.0.1", port=port, reuse_addr=True)


def end_with_stdin():
    """Also when the tests were killed."""
    while os.read(0, 4_096):
        pass
    os._exit(0)


threading.Thread(target=end_with_stdin, daemon=True).start()
server.listener.listen()  # who reads the port may connect at once
sys.stdout.write(f"{server.port}\n")
sys.stdout.flush()
server.start()
