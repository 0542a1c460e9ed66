# fails 5.2: a thread that sleeps in recv() does not look at any flag
"""Returns lines in upper case; a thread for each client."""

import os
import signal
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread

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
        while not stopping.is_set() and (line := self.rfile.readline()):
            self.wfile.write(line.upper())


stopping = Event()


def stop(_number, _frame):
    stopping.set()
    Thread(target=server.shutdown).start()


server = Server((HOST, PORT), Upper)
signal.signal(signal.SIGTERM, stop)
print("listening on {}:{}".format(*server.server_address))
server.serve_forever()
server.server_close()
