"""What the socketserver drivers of the echo share: nothing of their model, and no I/O."""

import logging
import sys

from services.tcp_echo.transform import Transform

log = logging.getLogger("tcp-echo")


class EchoMixIn:
    """A `TCPServer` that knows the transform, and logs an error of a connection in one line."""

    transform: Transform

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Log why a connection was closed early; the inherited method prints a traceback."""
        log.info("connection closed: %r", sys.exception())
