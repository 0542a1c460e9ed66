"""TCP echo with socat: a process for each connection, which passes the bytes through a pipe."""

from bench.peers import programs
from services import runtime

# Where the kernel calls a pipe writable it promises room for this much (pipe(7)). With more at a
# time socat, which is the pipe's reader as well, waits for itself: seen with its default of 8192.
PIPE_BUF = 4096  # bytes


def serve(address: runtime.Address) -> None:
    """Become socat."""
    programs.become(command, address, b"x")


def command(host: str, port: int) -> list[str]:
    """Return the command line."""
    listen = f"TCP4-LISTEN:{port},bind={host},backlog=1024,reuseaddr,nodelay,fork"
    return ["socat", f"-b{PIPE_BUF}", listen, "PIPE"]


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
