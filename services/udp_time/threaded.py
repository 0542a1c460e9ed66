"""UDP time, a thread for each datagram: `socketserver.ThreadingUDPServer`."""

import logging
from socketserver import BaseRequestHandler, ThreadingUDPServer

from services import listeners, runtime
from services.udp_time.mixin import TimeMixIn
from services.udp_time.reply import RECV_SIZE, reply_to

log = logging.getLogger("udp-time")


# The main thread only receives. To start a thread costs more than to make the reply. It pays off if
# a reply has to wait for something (a disk, another server), because then the other requests need
# not wait. Replies may come in another order than the requests, so clients need IDs.
def serve(address: runtime.Address) -> None:
    """Serve requests concurrently."""
    with Server(address, Time) as server:
        log.info("listening on %s", listeners.text(server.server_address))
        server.serve_forever()


class Server(TimeMixIn, ThreadingUDPServer):
    """The socket."""

    max_packet_size = RECV_SIZE  # the kernel discards the rest of a longer datagram
    daemon_threads = True  # otherwise server_close() would wait for each thread


class Time(BaseRequestHandler):
    """A request and its reply, in a thread of its own; all threads send on the same socket."""

    def handle(self) -> None:
        """Send the reply to the source address of the request."""
        request, server = self.request
        if reply := reply_to(request):
            server.sendto(reply, self.client_address)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
