"""What the socketserver drivers share: nothing of their model, and no I/O."""

import logging
import sys
from socketserver import UDPServer
from typing import cast

from services import listeners, runtime
from services.udp_sockets import udp_socket

log = logging.getLogger("udp-time")


class TimeMixIn(UDPServer):
    """A `UDPServer` with the socket that all drivers have, which logs errors in one line.

    An exception that handle() raises goes to handle_error(), and the server continues with the next
    request. allow_reuse_address stays False: with SO_REUSEADDR two servers could bind the same UDP
    port (socket(7)).
    """

    def server_bind(self) -> None:
        """Open that socket, in place of the one that `UDPServer` has made."""
        self.socket.close()
        self.socket = udp_socket(cast("runtime.Address", self.server_address))
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: object, client_address: tuple[str, int]) -> None:  # noqa: ARG002
        """Log why there is no reply; the inherited method prints a traceback."""
        log.warning("no reply to %s: %r", listeners.text(client_address), sys.exception())
