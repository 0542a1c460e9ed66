"""How gunicorn runs the HTTP servers; each one's gunicorn.conf.py imports this and adds to it.

A worker process has all of its connections in one thread. Another thread gets a request only once
it is complete, and is free again before the response is sent. What limits a request is in
services/http. The settings are
described at https://docs.gunicorn.org/en/stable/settings.html.
"""

from pathlib import Path
from typing import Any

from services import addresses, listeners, runtime
from services.http.group import pre_fork, when_ready  # noqa: F401 - gunicorn calls them

workers = 1
worker_class = "services.http.wsgi.Worker"
worker_connections = 10_000  # open at a time; further ones wait in the kernel's queue
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

# gunicorn's own logs go where every other log goes: to the root logger, thus to stdout.
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


def bind_to(address: runtime.Address) -> str:
    """Return where to listen, without a name: gunicorn would look that up as IPv4 only."""
    _, where = listeners.resolve(address)
    return addresses.join(*where[:2])


def on_starting(server: Any) -> None:
    """Start logging to stdout, and end with one line if it cannot listen.

    That is in gunicorn's own process, before it has started a worker. It would itself try to listen
    for five seconds, and log ten lines. One that replaces another (USR2) gets the socket of that.
    """
    runtime.start_logging()
    if not server.master_pid:
        (where,) = server.cfg.address
        with runtime.listening(where):
            listeners.tcp_listener(where).close()
