"""Our REST application under waitress: an event loop, and a pool of threads for the requests.

As many threads as our gunicorn has. waitress logs no requests, so this does.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import WSGIEnvironment

from waitress import create_server

from services import runtime
from services.gunicorn_settings import threads
from services.rest.app import application

log = logging.getLogger("waitress")


def logged(environ: WSGIEnvironment, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Run the application, and log what ours logs of a request, but for the time it took."""
    query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""

    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
        log.info(
            '%s "%s %s%s %s" %.3s %s bytes', environ["REMOTE_ADDR"], environ["REQUEST_METHOD"],
            environ["PATH_INFO"], query, environ["SERVER_PROTOCOL"], status,
            dict(headers).get("Content-Length", "0"),
        )  # fmt: skip
        return start_response(status, headers, *error)

    return application(environ, start)


def serve(address: runtime.Address) -> None:
    """Answer requests."""
    host, port = address
    server = create_server(
        logged,
        host=host,
        port=port,
        threads=threads,
        connection_limit=2000,
        asyncore_use_poll=True,  # select(2) takes no descriptor above 1023
    )
    log.info("listening on %s:%d", *server.socket.getsockname())
    server.run()


if __name__ == "__main__":
    runtime.main(serve, default_port=8080)
