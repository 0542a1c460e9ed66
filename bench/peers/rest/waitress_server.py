"""Our REST application under waitress: an event loop, and a pool of threads for the requests.

As many threads as our gunicorn has. waitress logs no requests.
"""

import logging

from waitress import create_server

from services import runtime
from services.gunicorn_settings import threads
from services.rest.app import application

log = logging.getLogger("waitress")


def serve(address: runtime.Address) -> None:
    """Answer requests."""
    host, port = address
    server = create_server(
        application,
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
