# fails 6.3 closed: with a timeout set, send() sends what there is room for
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

    disable_nagle_algorithm = True
    timeout = 2

    def handle(self):
        """Answer each line, until the client has sent its FIN."""
        for line in self.rfile:
            self.connection.send(line.upper())


server = Server((HOST, PORT), Upper)
print("listening on {}:{}".format(*server.server_address))
server.serve_forever()
