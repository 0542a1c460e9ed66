# fails 6.2: one write for both answers, after 50 ms in which more might come
"""Returns lines in upper case; one client at a time."""

import os
import time
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
        begun = b""
        while True:
            time.sleep(0.05)
            data = self.connection.recv(16 * 1024 * 1024)
            if not data:
                break
            lines, end, begun = (begun + data).rpartition(b"\n")
            self.connection.sendall((lines + end).upper())


server = Server((HOST, PORT), Upper)
print("listening on {}:{}".format(*server.server_address))
server.serve_forever()
