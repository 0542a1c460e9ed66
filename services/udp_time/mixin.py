"""What the socketserver drivers of the time server share: nothing of their model, and no I/O."""

import logging
import sys

log = logging.getLogger("udp-time")


class TimeMixIn:
    """A `UDPServer` that logs in one line why a datagram has no answer.

    Its allow_reuse_address stays False: with SO_REUSEADDR two servers could have the same UDP port
    (socket(7)).
    """

    def handle_error(self, request: object, client_address: tuple[str, int]) -> None:  # noqa: ARG002
        """Log the error; the inherited method prints a traceback."""
        log.warning("no answer to %s:%d: %r", *client_address, sys.exception())
