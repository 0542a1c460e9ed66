"""TCP echo with socat: a process for each connection, which passes the bytes through a pipe."""

from bench.peers import programs
from services import runtime

# A pipe that is writable has room for this much (pipe(7)). With more at a time socat, which is also
# the reader of the pipe, waits for itself: seen with its default of 8192.
PIPE_BUF = 4096  # bytes


def command(host: str, port: int) -> list[str]:
    """Return the command line."""
    listen = f"TCP4-LISTEN:{port},bind={host},backlog=1024,reuseaddr,nodelay,fork"
    return ["socat", f"-b{PIPE_BUF}", listen, "PIPE"]


if __name__ == "__main__":
    programs.become(command, runtime.address(20000), b"x")
