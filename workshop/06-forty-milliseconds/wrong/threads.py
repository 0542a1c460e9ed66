# fails 6.1: there is only one client, and a thread for it changes nothing
"""Returns lines in upper case; one client at a time."""

import os
from socketserver import StreamRequestHandler, ThreadingTCPServer

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))


class Server(ThreadingTCPServer):
    """The listener."""

    allow_reuse_address = True
    request_queue_size = 128


class Upper(StreamRequestHandler):
    """A connection, read and written as files."""

    def handle(self):
        """Answer each line, until the client has sent its FIN."""
        for line in self.rfile:
            self.wfile.write(line.upper())


server = Server((HOST, PORT), Upper)
print("listening on {}:{}".format(*server.server_address))
server.serve_forever()
