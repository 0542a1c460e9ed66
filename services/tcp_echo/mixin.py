"""What the socketserver drivers share: nothing of their model, and no I/O."""

import logging
import sys

from services.tcp_echo.transform import Transform

log = logging.getLogger("tcp-echo")


class EchoMixIn:
    """A `TCPServer` that has a transform, and logs errors in one line.

    An exception that handle() raises, such as a reset by the client, goes to handle_error(). After
    that the server closes the connection, and continues with the others.
    """

    transform: Transform

    def handle_error(self, request: object, client_address: tuple[str, int]) -> None:  # noqa: ARG002
        """Log why a connection ended before EOF; the inherited method prints a traceback."""
        log.info("connection from %s:%d closed: %r", *client_address, sys.exception())
