"""The same application under `wsgiref`: one thread, one connection and one request at a time."""

import logging
import socket
import sys
import time
from contextlib import suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from services import addresses, listeners, runtime
from services.http.response import checked
from services.rest.app import application

TIMEOUT = 10  # seconds that a client may send nothing
LINGER = 1  # seconds that it may still send once it has its response

log = logging.getLogger("rest")


def serve(address: runtime.Address) -> None:
    """Accept one connection after the other, with one request and one response each."""
    Server.address_family, (host, port, *_) = listeners.resolve(address)
    with make_server(host, port, checked(application), Server, Handler) as server:
        log.info("listening on %s", listeners.text(server.server_address))
        server.serve_forever()


class Handler(WSGIRequestHandler):
    """A connection; a silent client is disconnected, since all others wait."""

    timeout = TIMEOUT

    def get_environ(self) -> dict[str, Any]:
        """Tell also what the path was before it was decoded, in the same place as gunicorn."""
        # Of a path that begins with //, http.server has dropped one.
        self.path = self.requestline.split()[1]
        environ = {**super().get_environ(), "RAW_URI": self.path}
        environ["SERVER_NAME"] = addresses.bracketed(environ["SERVER_NAME"])
        environ["REMOTE_ADDR"] = addresses.unmapped(environ["REMOTE_ADDR"])
        return environ

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its inherited name
        """Log a request, or its error."""
        log.info("%s %s", addresses.unmapped(self.client_address[0]), format % args)


class Server(WSGIServer):
    """The listener; it closes connections so that the response is not lost."""

    def shutdown_request(self, request: Any) -> None:
        """Send FIN, then read what the client is still sending (RFC 9112, 9.6).

        To close while some of it is unread would send RST, which discards the response.
        """
        deadline = time.monotonic() + LINGER
        with suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            request.settimeout(LINGER)
            while request.recv(64 * 1024) and time.monotonic() < deadline:
                pass
        self.close_request(request)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Log what ended a connection before there was a request."""
        log.warning("connection from %s: %r", listeners.text(client_address), sys.exception())


if __name__ == "__main__":
    runtime.main(serve, default_port=8080)
