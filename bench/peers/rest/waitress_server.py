"""Our REST application under waitress: an event loop, and a pool of threads for the requests.

As many threads as our gunicorn has. waitress logs no requests.
"""

import logging
import signal
import sys

from waitress import create_server

from services import runtime
from services.gunicorn_settings import threads
from services.rest.app import application

log = logging.getLogger("waitress")


def serve(address: runtime.Address) -> None:
    """Answer requests until a signal."""
    host, port = address
    server = create_server(
        application,
        host=host,
        port=port,
        threads=threads,
        connection_limit=2000,
        asyncore_use_poll=True,  # select(2) knows no descriptor above 1023
    )
    # What the runtime's handler raises would be lost, if it came during a callback of waitress.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    log.info("listening on %s:%d", *server.socket.getsockname())
    server.run()
    raise runtime.Stop("SIGTERM")


if __name__ == "__main__":
    runtime.main(serve, default_port=8080)
