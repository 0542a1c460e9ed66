# fails 6.2 held: what came together is answered together, when all of it is there
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
        lines = b""
        while data := self.rfile.read1(65536):
            lines += data
            if lines.endswith(b"\n"):
                self.wfile.write(lines.upper())
                lines = b""


server = Server((HOST, PORT), Upper)
print("listening on {}:{}".format(*server.server_address))
server.serve_forever()
