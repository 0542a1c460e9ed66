"""The console: `python -m services.console.server` serves the page that shows the lab."""

import logging

from services import event_loop, host_names, listeners, runtime
from services.console import pages
from services.console.security import Guard
from services.uvicorn_server import Server

NAMES = frozenset({"console"})  # in the header Host, beside loopback's and WIRELAB_HOSTS
MAX_CONNECTIONS = 512  # beside the streams, of which there are 200
NOT_SENT = 64 * 1024  # bytes of a stream that wait in the kernel for a page that does not read

log = logging.getLogger("console")


def serve(address: runtime.Address) -> None:
    """Serve the page."""
    hosts = NAMES | runtime.setting("WIRELAB_HOSTS", "", host_names.parse)
    event_loop.run(console(address, hosts))


async def console(address: runtime.Address, hosts: frozenset[str]) -> None:
    """Listen, and serve until the process ends."""
    try:
        server = Server(Guard(pages.application(), hosts), MAX_CONNECTIONS)
    except ValueError as error:  # a setting that says where a server is, and does not
        raise runtime.SettingError(str(error)) from None
    with listeners.tcp_listener(address, not_sent=NOT_SENT) as listener:
        listeners.limit_send_buffer(listener, NOT_SENT)
        log.info("listening on %s", listeners.text(listener.getsockname()))
        await server.serve([listener])


if __name__ == "__main__":
    runtime.main(serve, default_port=8090)
