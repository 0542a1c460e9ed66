"""TCP echo, one connection at a time, read and written as files: `StreamRequestHandler`."""

import logging
from socketserver import StreamRequestHandler, TCPServer

from services import listeners, runtime
from services.tcp_echo.mixin import EchoMixIn
from services.tcp_echo.transform import transform_from_settings

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# As in raw_loop.py and single.py, one connection delays all others. The timeout limits that, but
# only in part: it is for each recv(), and for each sendall() in total. A client that sends nothing
# for 5 s is disconnected. A client that sends one byte every 4 s holds the server for as long as it
# likes; and one that reads steadily, but needs over 5 s for a chunk, is cut off.
def serve(address: runtime.Address) -> None:
    """Serve connections, one at a time."""
    with Server(address, Echo) as server:
        server.transform = transform_from_settings()
        log.info("listening on %s", listeners.text(server.server_address))
        server.serve_forever()


class Server(EchoMixIn, TCPServer):
    """The listener."""

    allow_reuse_address = True  # connections of an earlier server may still be in TIME_WAIT
    request_queue_size = 1024  # length of the accept queue; the default is 5


class Echo(StreamRequestHandler):
    """A connection: `rfile` to read from, `wfile` to write to."""

    server: Server
    timeout = 5  # seconds; the default is None
    rbufsize = -1  # the default, a buffer of 8 KiB; read1() does not use it while it is empty
    wbufsize = 0  # wfile buffers nothing, so there is nothing to flush
    # Nagle's algorithm would delay a short answer until the previous one is acknowledged.
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Echo until EOF (the client's FIN)."""
        log.info("connection from %s", listeners.text(self.client_address))
        # read1() returns what one recv() returns. read() would wait for CHUNK bytes, and readline()
        # for a line feed, which a client may send only after it has its answer.
        while data := self.rfile.read1(CHUNK):
            self.wfile.write(self.server.transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
