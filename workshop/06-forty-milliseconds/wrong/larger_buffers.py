# fails 6.1: there is room in the kernel's buffers; nothing in them may be sent yet
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
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            self.connection.setsockopt(socket.SOL_SOCKET, option, 1024 * 1024)
        for line in self.rfile:
            self.wfile.write(line.upper())


server = Server((HOST, PORT), Upper)
print("listening on {}:{}".format(*server.server_address))
server.serve_forever()
