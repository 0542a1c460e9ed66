"""How gunicorn runs the WSGI servers; each one's gunicorn.conf.py imports this and adds to it.

One process accepts connections and hands each request to a pool of threads; between two requests
a connection waits in a selector and costs no thread. The settings are described at
https://docs.gunicorn.org/en/stable/settings.html.
"""

import socket
import struct
from pathlib import Path
from typing import Any

from services import runtime

SILENCE_SECONDS = runtime.setting("WIRELAB_SILENCE_SECONDS", "10", runtime.positive)

workers = 1
worker_class = "gthread"
threads = 8
keepalive = 5  # seconds that a connection may be idle between requests
graceful_timeout = 1  # seconds; a container has two to stop, idle clients or not

# The heartbeat of the worker is a file: on a disk, a slow write would look like a hung worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
# Anyone who can write to the control socket can stop the server, and its folder is not writable
# in a read-only container.
control_socket_disable = True
# No proxy stands in front, so nobody may claim to be one by headers.
forwarded_allow_ips = ""

limit_request_line = 4094  # bytes
limit_request_fields = 64
limit_request_field_size = 8190  # bytes

# gunicorn's own two logs go where every other log goes: to the root logger, thus to stdout.
runtime.start_logging()
errorlog = None
logconfig_dict = {
    "incremental": True,
    "handlers": {},
    "root": {},
    "loggers": {
        "gunicorn.error": {"propagate": True},
        "gunicorn.access": {"propagate": True},
        # At every start httpbin warns that its optional API browser is not installed.
        "httpbin.core": {"level": "ERROR"},
    },
}
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s bytes %(M)s ms'


def when_ready(arbiter: Any) -> None:
    """Limit how long a thread waits for the next bytes of a request.

    gunicorn's threads read without a limit: eight clients that send half a request and fall
    silent would hold all of them for ever. On Linux an accepted connection inherits the receive
    timeout of its listener (socket(7), SO_RCVTIMEO).
    """
    for listener in arbiter.LISTENERS:
        timeval = struct.pack("ll", SILENCE_SECONDS, 0)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
