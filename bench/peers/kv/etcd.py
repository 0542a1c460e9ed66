"""One node of etcd: the peer of kv on etcd, asked at its JSON gateway, and what that kv stores to.

It begins without data, on the disk that the other stores have.
"""

import shutil

from bench import BUILD
from bench.peers import programs
from services import runtime

PROGRAM = BUILD / "etcd"  # bench/etcd.py takes it from the image
DATA = BUILD / "etcd.data"
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"  # answered once it has begun to serve


def command(host: str, port: int) -> list[str]:
    """Return the command line; there is no other node to use its port for peers."""
    clients = f"http://{host}:{port}"
    return [
        str(PROGRAM), f"--data-dir={DATA}", "--log-level=error",
        f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}",
        "--listen-peer-urls=http://127.0.0.1:0",
    ]  # fmt: skip


if __name__ == "__main__":
    shutil.rmtree(DATA, ignore_errors=True)
    programs.become(command, runtime.address(2379), REQUEST)
