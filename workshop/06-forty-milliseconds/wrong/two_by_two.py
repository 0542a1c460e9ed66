# fails 6.2 no_answer: one write for two answers, and a single line has none
"""Returns lines in upper case; one client at a time."""

import os
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
        while line := self.rfile.readline():
            self.wfile.write((line + self.rfile.readline()).upper())


server = Server((HOST, PORT), Upper)
print("listening on {}:{}".format(*server.server_address))
server.serve_forever()
