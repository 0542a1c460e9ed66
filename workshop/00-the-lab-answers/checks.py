"""All services of the lab, as processes of this machine; then two ports without a service."""

import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from clients.addresses import PORTS, Address, variable
from lab import LabError
from lab.workshop.check import Client, Failed, Figures, Mine, check

SERVERS = {
    "tcp-echo": ("python", "-m", "services.tcp_echo.evented"),
    "udp-time": ("python", "-m", "services.udp_time.raw_loop"),
    "rest": ("gunicorn", "-c", "services/rest/gunicorn.conf.py"),
    "kv": ("gunicorn", "-c", "services/kv/gunicorn.conf.py"),
    "object-echo": ("python", "-m", "services.object_echo.evented"),
    "rpc": ("python", "-m", "services.rpc.evented"),
    "httpbin": ("gunicorn", "-c", "services/httpbin/gunicorn.conf.py"),
}
ATTEMPTS = 3  # one that was slow to start is not one that does not answer


@contextmanager
def started(mine: Mine, *names: str) -> Iterator[tuple[dict[str, Address], dict[str, str]]]:
    """Start servers, all at the same time; lend where each listens, and what clients are told."""
    with tempfile.TemporaryDirectory(prefix="wirelab-") as folder, ExitStack() as running:
        key = Path(folder, "authkey")
        key.write_text(secrets.token_urlsafe(48))
        settings = {
            "WIRELAB_KV_FILE": str(Path(folder, "kv.sqlite3")),
            "WIRELAB_AUTHKEY_FILE": str(key),
        }

        def start(name: str) -> Address:
            try:
                return running.enter_context(mine.ours(*SERVERS[name], **settings))
            except LabError as error:
                said = str(error).strip().splitlines()[-1]
                raise Failed("not_started", name=name, said=said) from None

        with ThreadPoolExecutor(len(names)) as threads:
            addresses = dict(zip(names, threads.map(start, names), strict=True))
        closed = running.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # and does not listen
        nobody = Address(*closed.getsockname())
        told = {variable(name): str(addresses.get(name, nobody)) for name in PORTS}
        yield addresses, {**told, "WIRELAB_AUTHKEY_FILE": str(key), "WIRELAB_INTERFACE": ""}


def named(output: str, addresses: Mapping[str, Address]) -> list[str]:
    """Return the services that a line names, with their address."""
    lines = [line.split() for line in output.splitlines()]
    return [
        name
        for name, where in addresses.items()
        if any(name in words and str(where) in words for words in lines)
    ]


@check("0.1", needs="process")
def all_of_them(mine: Mine) -> Figures:
    """Start the services, and see which of them the program finds."""
    with started(mine, *SERVERS) as (addresses, told):
        for _ in range(ATTEMPTS):
            ran = mine.run(**told)
            found = named(ran.output, addresses)
            missing = [name for name in addresses if name not in found]
            if not missing:
                return {"count": len(found), "seconds": ran.seconds}
    raise Failed(count=len(found), all=len(addresses), missing=", ".join(missing))


@check("0.2", needs="process")
def open_but_silent(mine: Mine) -> Figures:
    """Let the kernel accept in the place of kv, and nobody answer."""
    with started(mine, "tcp-echo") as (_, told), socket.create_server(("127.0.0.1", 0)) as silent:
        where = Address(*silent.getsockname())
        with Client(where, mine.patience, mine.record()) as client:
            client.send(b"hello\n")
            client.silent(0.3 * mine.patience)
            client.note("connected, and no answer: nobody has called accept()")
        ran = mine.run(**{**told, variable("kv"): str(where)})
    if named(ran.output, {"kv": where}):
        raise Failed(address=where)
    return {"address": where}
