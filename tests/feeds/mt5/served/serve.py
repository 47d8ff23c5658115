"""rpyc's own classic server, with the stand-in beside it; prints its port."""

import sys

from rpyc.core.service import SlaveService
from rpyc.utils.server import ThreadedServer

port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
server = ThreadedServer(SlaveService, hostname="127.0.0.1", port=port, reuse_addr=True)
server.listener.listen()  # who reads the port may connect at once
sys.stdout.write(f"{server.port}\n")
sys.stdout.flush()
server.start()
