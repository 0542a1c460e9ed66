"""What is measured: pieces of work, who does them, and what our default should reach."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from bench import BUILD, http_requests
from clients.addresses import Address
from scripts.stack import services

Kind = Literal["default", "variant", "peer", "floor"]
BARE = "a bare WSGI function"
Metric = Literal["rate", "p99", "never_served"]


@dataclass(frozen=True)
class Target:
    """A server to measure: the command that starts it, and for RPC the client that it takes."""

    name: str
    kind: Kind
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    client: str = "ours"


@dataclass(frozen=True)
class Goal:
    """What the default should reach.

    `rate` (requests per second) is to be at least, `p99` (latency) at most `bound` times that of
    the best of `peers`; `never_served` (connections) at most `bound`.
    """

    metric: Metric
    bound: float
    peers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Work:
    """One piece of work: what is sent to a service, over how many connections.

    `request` is a size in bytes (tcp, udp), a file of requests (http) or a call (rpc). `prepare`
    is called before with where the server is.
    """

    service: str
    what: str
    load: Literal["tcp", "udp", "http", "rpc"]
    connections: int
    request: str
    targets: tuple[Target, ...]
    goals: tuple[Goal, ...] = ()
    prepare: Callable[[Address], None] | None = None

    @property
    def name(self) -> str:
        """A name for people: "tcp-echo: 64 B, 64 connections"."""
        return f"{self.service}: {self.what}"

    def for_goals(self) -> "Work":
        """Return the same with no more targets than its goals are about."""
        compared = {peer for goal in self.goals for peer in goal.peers}
        targets = (each for each in self.targets if each.kind == "default" or each.name in compared)
        return replace(self, targets=tuple(targets))


def ours(service: str, environment: Mapping[str, str] | None = None) -> tuple[Target, ...]:
    """Return the default server of `service` and its variants, as compose.yaml has them."""
    commands = {
        tuple(each.command): each.name
        for each in reversed(services(profile="variants"))
        if each.name == service or each.name.startswith(f"{service}-")
    }
    return tuple(
        Target(
            model(command), "default" if name == service else "variant", command, environment or {}
        )
        for command, name in reversed(commands.items())
    )


def model(command: tuple[str, ...]) -> str:
    """Return the concurrency model of a server by its command."""
    return "gunicorn" if command[0] == "gunicorn" else command[-1].rpartition(".")[2]


def module(name: str, path: str, kind: Kind = "peer", client: str = "ours") -> Target:
    """Return a target that is a Python module."""
    return Target(name, kind, ("python", "-m", path), client=client)


def floor(program: str) -> Target:
    """Return a target that is a program in C: what the kernel's part of the work costs."""
    return Target("C", "floor", (str(BUILD / program),))


def tcp_echo() -> list[Work]:
    """TCP echo at several sizes and numbers of connections."""
    targets = (
        *ours("tcp-echo"),
        module("uvloop Protocol", "bench.peers.tcp_echo.uvloop_protocol"),
        module("asyncio Protocol", "bench.peers.tcp_echo.asyncio_protocol"),
        module("asyncio streams", "bench.peers.tcp_echo.asyncio_streams"),
        module("socat", "bench.peers.tcp_echo.socat"),
        floor("tcp_echo"),
    )
    goals = {
        (64, 64): (
            Goal("rate", 1.0, ("uvloop Protocol",)),
            Goal("rate", 0.9, ("C",)),
            Goal("rate", 3.0, ("threaded",)),
        ),
        (64, 1000): (
            Goal("never_served", 0),
            Goal("rate", 0.85, ("C",)),
            Goal("p99", 1.5, ("C",)),
        ),
    }
    return [
        Work(
            "tcp-echo", f"{title}, {count(connections)}", "tcp", connections, str(size), targets,
            goals.get((size, connections), ()),
        )
        for size, title, connections in (
            (64, "64 B", 1), (64, "64 B", 64), (64, "64 B", 1000), (65536, "64 KiB", 64),
        )
    ]  # fmt: skip


def udp_time() -> list[Work]:
    """UDP time: a datagram each way."""
    targets = (
        *ours("udp-time"),
        module("uvloop", "bench.peers.udp_time.uvloop_protocol"),
        module("asyncio", "bench.peers.udp_time.asyncio_protocol"),
        floor("udp_time"),
    )
    goals = {64: (Goal("rate", 0.75, ("C",)), Goal("rate", 15, ("threaded",)))}
    return [
        Work(
            "udp-time", f"a datagram, {count(clients, 'client')}", "udp", clients, "1", targets,
            goals.get(clients, ()),
        )
        for clients in (1, 64)
    ]  # fmt: skip


def rest() -> list[Work]:
    """One small page, by applications under the same gunicorn and by ours under other servers."""
    gunicorn = ("gunicorn", "-c", "services/rest/gunicorn.conf.py")
    frameworks = tuple(
        Target(name, "peer", (*gunicorn, f"bench.peers.rest.{path}_app:application"))
        for name, path in (("Flask", "flask"), ("bottle", "bottle"), ("Falcon", "falcon"))
    )
    bare = Target(BARE, "floor", (*gunicorn, "bench.peers.rest.bare:application"))
    servers = (
        Target(
            "ours under gthread", "peer", ("gunicorn", "-c", "bench/peers/rest/gthread.conf.py")
        ),
        module("ours under granian", "bench.peers.rest.granian_server"),
        module("ours under waitress", "bench.peers.rest.waitress_server"),
    )
    return [
        Work(
            "rest", "GET /hello, 64 connections", "http", 64, "hello",
            (*ours("rest"), *frameworks, *servers, bare),
            (
                Goal("rate", 1.0, ("bottle",)),
                Goal("rate", 1.0, ("Falcon",)),
                Goal("rate", 1.8, ("Flask",)),
                Goal("rate", 0.95, (BARE,)),
            ),
        )
    ]  # fmt: skip


def kv() -> list[Work]:
    """Key-value store: writes, on disk once they are answered against in memory, and reads."""
    targets = ours("kv", {"WIRELAB_KV_FILE": str(BUILD / "kv.sqlite3")})
    goals = {("set", 16): 1.0, ("get", 16): 1.5}
    return [
        Work(
            "kv", f"{method}, {count(clients, 'client')}", "http", clients, method, targets,
            (Goal("rate", goals[method, clients], ("single",)),)
            if (method, clients) in goals else (),
            http_requests.fill if method == "get" else None,
        )
        for method in ("set", "get")
        for clients in (1, 16)
    ]  # fmt: skip


def rpc() -> list[Work]:
    """RPC: a call that is all overhead, and one that is all data."""
    packages = (
        ("RPyC", "rpyc_server"),
        ("Pyro5", "pyro5_server"),
        ("grpcio", "grpcio_server"),
        ("zerorpc", "zerorpc_server"),
        ("XML-RPC", "xml_rpc_server"),
    )
    # It can have one thread for all connections too, which is better for many and worse for one.
    multiplex = Target(
        "Pyro5 multiplex",
        "peer",
        ("python", "-m", "bench.peers.rpc.pyro5_server"),
        {"PYRO_SERVERTYPE": "multiplex"},
        "pyro5_server",
    )
    targets = (
        *ours("rpc"),
        module("the classic recipe", "bench.peers.rpc.classic", "variant", "classic"),
        *(module(name, f"bench.peers.rpc.{path}", client=path) for name, path in packages),
        multiplex,
    )
    large = (Goal("rate", 1.5, ("grpcio",)), Goal("rate", 1.5, ("zerorpc",)))
    goals = {
        ("add", 1): (
            Goal("rate", 2, ("Pyro5",)),
            Goal("rate", 3, ("RPyC",)),
            Goal("rate", 7, ("grpcio",)),
            Goal("rate", 1.2, ("the classic recipe",)),
        ),
        ("add", 16): (Goal("rate", 3, (*(name for name, _ in packages), multiplex.name)),),
        ("echo", 1): large,
        ("echo", 16): large,
    }
    titles = {"add": "add(2, 3)", "echo": "echo of 1 MiB"}
    return [
        Work(
            "rpc", f"{titles[call]}, {count(clients, 'client')}", "rpc", clients, call, targets,
            goals[call, clients],
        )
        for call in titles
        for clients in (1, 16)
    ]  # fmt: skip


def count(number: int, thing: str = "connection") -> str:
    """Return `1 client`, `16 clients`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def works() -> list[Work]:
    """Return all that is measured."""
    return [*tcp_echo(), *udp_time(), *rest(), *kv(), *rpc()]
