# fails 5.3: half a second for the last answers is less than they take
"""Returns lines in upper case; a thread for each client."""

import os
import signal
import socket
import time
from contextlib import suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

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
    Thread(target=server.shutdown).start()  # it waits for serve_forever(), in this thread


server = Server((HOST, PORT), Upper)
signal.signal(signal.SIGTERM, stop)
print("listening on {}:{}".format(*server.server_address))
server.serve_forever()
for connection in list(connections):
    with suppress(OSError):  # its client may just have gone
        connection.shutdown(socket.SHUT_RD)
time.sleep(0.5)
os._exit(0)
