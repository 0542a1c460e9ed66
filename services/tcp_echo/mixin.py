"""What the socketserver drivers share: nothing of their model, and no I/O."""

import logging
import sys
from socketserver import BaseRequestHandler, TCPServer

from services import listeners, runtime
from services.tcp_echo.transform import Transform

log = logging.getLogger("tcp-echo")


class EchoMixIn(TCPServer):
    """A `TCPServer` on IPv4 or IPv6 that has a transform, and logs errors in one line.

    An exception that handle() raises, such as a reset by the client, goes to handle_error(). After
    that the server closes the connection, and continues with the others.
    """

    transform: Transform

    def __init__(
        self,
        address: runtime.Address,
        handler: type[BaseRequestHandler],
        bind_and_activate: bool = True,
    ) -> None:
        """Create a socket of the family that the address has, which by default is AF_INET."""
        self.address_family, where = listeners.resolve(address)
        super().__init__(where, handler, bind_and_activate)

    def server_bind(self) -> None:
        """Set the options that connections inherit, and bind."""
        listeners.keep_urgent_data(self.socket)
        super().server_bind()

    def handle_error(self, request: object, client_address: tuple[str, int]) -> None:  # noqa: ARG002
        """Log why a connection ended before EOF; the inherited method prints a traceback."""
        log.info("connection from %s closed: %r", listeners.text(client_address), sys.exception())
