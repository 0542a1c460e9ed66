# fails 6.1: it is the client that delays its ACK, and this is the server's
"""Returns lines in upper case; one client at a time."""

import os
import socket
from socketserver import StreamRequestHandler, TCPServer

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))


class Server(TCPServer):
    """The listener."""

    allow_reuse_address = True
    request_queue_size = 128


class Upper(StreamRequestHandler):
    """A connection, read and written as files."""

    def handle(self):
        """Answer each line, until the client has sent its FIN."""
        for line in self.rfile:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            self.wfile.write(line.upper())


server = Server((HOST, PORT), Upper)
print("listening on {}:{}".format(*server.server_address))
server.serve_forever()
