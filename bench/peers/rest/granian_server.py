"""Our REST application under granian: HTTP in Rust, and a pool of threads for the Python code."""

import sys

from bench.peers import programs
from services import runtime
from services.gunicorn_settings import threads

# What ours logs; by default it leaves the query out.
LOG = '[%(time)s] %(addr)s "%(method)s %(path)s?%(query_string)s %(protocol)s" %(status)d %(dt_ms)d'
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def command(host: str, port: int) -> list[str]:
    """Return the command line: one worker, with as many threads as our gunicorn has."""
    return [
        sys.executable, "-m", "granian", f"--host={host}", f"--port={port}", "--interface=wsgi",
        "--workers=1", f"--blocking-threads={threads}", "--access-log", f"--access-log-fmt={LOG}",
        "--log-level=warning",
        "services.rest.app:application",
    ]  # fmt: skip


if __name__ == "__main__":
    programs.become(command, runtime.address(8080), REQUEST)
