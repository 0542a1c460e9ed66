"""What the socketserver drivers share: nothing of their model, and no I/O."""

import logging
import sys

log = logging.getLogger("udp-time")


class TimeMixIn:
    """A `UDPServer` that logs errors in one line.

    An exception that handle() raises goes to handle_error(), and the server continues with the next
    request. allow_reuse_address stays False: with SO_REUSEADDR two servers could bind the same UDP
    port (socket(7)).
    """

    def handle_error(self, request: object, client_address: tuple[str, int]) -> None:  # noqa: ARG002
        """Log why there is no reply; the inherited method prints a traceback."""
        log.warning("no reply to %s:%d: %r", *client_address, sys.exception())
