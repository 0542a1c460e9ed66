# fails 5.2: sys.exit() ends the main thread, and those of the clients go on
"""Returns lines in upper case; a thread for each client."""

import os
import signal
import sys
from socketserver import StreamRequestHandler, ThreadingTCPServer

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))

connections = set()  # those that are open


class Server(ThreadingTCPServer):
    """The listener; it keeps `connections` up to date."""

    allow_reuse_address = True
    request_queue_size = 128

    def get_request(self):
        """Accept a connection."""
        connection, address = super().get_request()
        connections.add(connection)
        return connection, address

    def shutdown_request(self, connection):
        """Close a connection, when its handler has returned."""
        connections.discard(connection)
        super().shutdown_request(connection)


class Upper(StreamRequestHandler):
    """A connection, in a thread of its own."""

    def handle(self):
        """Answer each line, until the client has sent its FIN."""
        for line in self.rfile:
            self.wfile.write(line.upper())


def stop(_number, _frame):
    sys.exit(0)


server = Server((HOST, PORT), Upper)
signal.signal(signal.SIGTERM, stop)
print("listening on {}:{}".format(*server.server_address))
server.serve_forever()
