"""What is measured: workloads, the servers that have them, and what our default should reach."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from bench import BUILD, http_requests
from clients.addresses import Address
from lab import ROOT

Kind = Literal["default", "variant", "peer", "baseline"]
Metric = Literal["rate", "p50", "p99", "added", "cpu", "balance", "never_served"]

BARE = "a bare WSGI function"
RECIPE = "the printed recipe"
SERPENT = "Pyro5, serpent"
GRANIAN = "ours under granian"
DIRECTLY = "directly"
MIB = 1024 * 1024
ETCD = ("python", "-m", "bench.peers.kv.etcd")
ON_ETCD, GATEWAY = "gunicorn on etcd", "the gateway of etcd"
READERS = 200  # clients that read answers as large as they may be
# They serve fewer than 64 connections at a time, so a burst on 64 would never be answered.
WITHOUT_BURSTS = ("raw_loop", "single", "stream_handler", "prethreaded")


@dataclass(frozen=True)
class Target:
    """A server to measure: the command that starts it, and for RPC the client that calls it.

    `folder` is the checkout that the command is run in. `behind` is the service behind a relay: its
    default server is started too, and not measured. `toxic` is what the relay is told to do, as
    arguments of `Relay.add_toxic`. `store` is the command of the etcd that a kv stores to: it is
    started too, and not measured either. `request` and `prepare` are for a server that takes others
    than the workload's.
    """

    name: str
    kind: Kind
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    client: str = "ours"
    folder: Path = ROOT
    behind: str = ""
    toxic: Mapping[str, Any] = field(default_factory=dict)
    store: tuple[str, ...] = ()
    request: str = ""
    prepare: Callable[[Address], None] | None = None


@dataclass(frozen=True)
class Goal:
    """What `server` should reach; "" is the default.

    `rate` (requests per second) is to be at least, `p99` (latency) and `cpu` (time per request) at
    most `bound` times that of the best of `peers`. `balance` (busiest worker to least busy one) and
    `never_served` (connections) are to be at most `bound`. So is `added`, by how many microseconds
    the median latency is longer than the peer's. With a `tolerance`, a share, a figure is to be the
    bound, give or take so much of it: `p50`, the median latency, in microseconds.
    """

    metric: Metric
    bound: float
    peers: tuple[str, ...] = ()
    server: str = ""
    tolerance: float = 0.0


@dataclass(frozen=True)
class Workload:
    """What is sent to a service, over how many connections.

    `request` is a size in bytes (tcp, udp), a file of requests (http) or a call (rpc): `add`,
    `connect`, `records`, or the bytes of an echo. `prepare` is called before with where the server
    is. In `bursts` all connections send at the same time, once all are answered. No loop is shorter
    than `seconds`: a call may take a tenth of one.
    """

    service: str
    what: str
    load: Literal["tcp", "udp", "http", "rpc"]
    connections: int
    request: str
    targets: tuple[Target, ...]
    goals: tuple[Goal, ...] = ()
    prepare: Callable[[Address], None] | None = None
    bursts: bool = False
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """A name for people: "tcp-echo: 64 B, 64 connections"."""
        return f"{self.service}: {self.what}"

    @property
    def default(self) -> str:
        """The name of the default server."""
        return next(target.name for target in self.targets if target.kind == "default")

    @property
    def alternates(self) -> bool:
        """Whether the load has nothing to do while the server has, and the other way around."""
        return self.connections == 1 or self.bursts

    @property
    def on_etcd(self) -> bool:
        """Whether there has to be the program etcd."""
        return any(ETCD in (target.command, target.store) for target in self.targets)

    def compared(self, goal: Goal) -> set[str]:
        """Return the names of the servers that a goal is about."""
        return {goal.server or self.default, *goal.peers}

    def for_goals(self) -> "Workload":
        """Return the same with no more targets than its goals are about."""
        names = set().union(*map(self.compared, self.goals))
        return replace(self, targets=tuple(each for each in self.targets if each.name in names))

    def beside(self, folder: Path) -> "Workload":
        """Return the same with our servers, each beside its namesake of the checkout in `folder`.

        A server that has no namesake there is left out, if it is not the default.
        """
        theirs = commands(self.service, folder)
        targets, goals = [], []
        for own in self.targets:
            if own.kind not in ("default", "variant"):
                continue
            if command := theirs.get(model(own.command)):
                name = f"{own.name} beside"
                other = replace(own, name=name, kind="peer", command=command, folder=folder)
                targets += [own, other]
                goals.append(Goal("rate", 1.0, (name,), own.name))
            elif own.kind == "default":
                targets.append(own)
        return replace(self, targets=tuple(targets), goals=tuple(goals))


def commands(service: str, folder: Path = ROOT) -> dict[str, tuple[str, ...]]:
    """Return the commands of a service's servers by their models, the default first.

    They stand in the compose.yaml of `folder`.
    """
    found = {
        name: tuple(map(str, block["command"]))
        for name, block in described(folder).items()
        if name == service or name.startswith(f"{service}-")
    }
    return {
        model(found[name]): found[name] for name in sorted(found, key=lambda name: name != service)
    }


@cache
def described(folder: Path) -> dict[str, Any]:
    """Return the services of the compose.yaml of a checkout, which takes long to parse."""
    found: dict[str, Any] = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    return found


def model(command: tuple[str, ...]) -> str:
    """Return the concurrency model of a server by its command."""
    return "gunicorn" if command[0] == "gunicorn" else command[-1].rpartition(".")[2]


def ours(service: str, environment: Mapping[str, str] | None = None) -> tuple[Target, ...]:
    """Return the default server of `service` and its variants."""
    default, *variants = commands(service).items()
    return (
        Target(default[0], "default", default[1], environment or {}),
        *(Target(name, "variant", command, environment or {}) for name, command in variants),
    )


def on_uvloop(service: str, *models: str) -> tuple[Target, ...]:
    """Return variants of `service` that run on asyncio, with uvloop's event loop."""
    environment = {"WIRELAB_EVENT_LOOP": "uvloop"}
    return tuple(
        Target(f"{name} on uvloop", "variant", commands(service)[name], environment)
        for name in models
    )


def module(name: str, path: str, client: str = "ours") -> Target:
    """Return a peer that is a Python module."""
    return Target(name, "peer", ("python", "-m", path), client=client)


def baseline(program: str) -> Target:
    """Return a target that is a program in C: what the kernel's part costs."""
    return Target("C", "baseline", (str(BUILD / program),))


def tcp_echo() -> list[Workload]:
    """TCP echo at several sizes and numbers of connections, and in bursts."""
    targets = (
        *ours("tcp-echo"),
        *on_uvloop("tcp-echo", "callbacks", "coroutines"),
        module("uvloop Protocol", "bench.peers.tcp_echo.uvloop_protocol"),
        module("socat", "bench.peers.tcp_echo.socat"),
        baseline("tcp_echo"),
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
            # Not with 64: the kernel shares connections by a hash, which is fair to many only.
            Goal("cpu", 1.1, ("evented",), "preforked"),
            Goal("balance", 1.3, server="preforked"),
        ),
        (65536, 64): (Goal("rate", 0.95, ("uvloop Protocol",)),),
    }
    at_any_time = [
        Workload(
            "tcp-echo", f"{title}, {count(connections)}", "tcp", connections, str(size), targets,
            goals.get((size, connections), ()),
        )
        for size, title, connections in (
            (64, "64 B", 1), (64, "64 B", 64), (64, "64 B", 1000), (65536, "64 KiB", 64),
        )
    ]  # fmt: skip
    in_bursts = Workload(
        "tcp-echo", f"64 B, {count(64)}, in bursts", "tcp", 64, "64",
        tuple(target for target in targets if target.name not in WITHOUT_BURSTS), bursts=True,
    )  # fmt: skip
    return [*at_any_time[:2], in_bursts, *at_any_time[2:]]


def udp_time() -> list[Workload]:
    """UDP time: a datagram each way."""
    targets = (
        *ours("udp-time"),
        *on_uvloop("udp-time", "callbacks"),
        baseline("udp_time"),
    )
    goals = {64: (Goal("rate", 0.75, ("C",)), Goal("rate", 15, ("threaded",)))}
    return [
        Workload(
            "udp-time", f"a datagram, {count(clients, 'client')}", "udp", clients, "1", targets,
            goals.get(clients, ()),
        )
        for clients in (1, 64)
    ]  # fmt: skip


def rest() -> list[Workload]:
    """One small page: other frameworks under our gunicorn, our application under other servers."""
    gunicorn = ("gunicorn", "-c", "services/rest/gunicorn.conf.py")
    frameworks = tuple(
        Target(name, "peer", (*gunicorn, f"bench.peers.rest.{path}_app:application"))
        for name, path in (("Flask", "flask"), ("bottle", "bottle"), ("Falcon", "falcon"))
    )
    bare = Target(BARE, "baseline", (*gunicorn, "bench.peers.rest.bare:application"))
    servers = (
        Target(
            "ours under gthread", "peer", ("gunicorn", "-c", "bench/peers/rest/gthread.conf.py")
        ),
        module(GRANIAN, "bench.peers.rest.granian_server"),
        module("ours under waitress", "bench.peers.rest.waitress_server"),
    )
    return [
        Workload(
            "rest", "GET /hello, 64 connections", "http", 64, "hello",
            (*ours("rest"), *frameworks, *servers, bare),
            (
                Goal("rate", 1.0, ("bottle",)),
                Goal("rate", 1.05, ("Falcon",)),
                Goal("rate", 1.8, ("Flask",)),
                Goal("rate", 0.9, (BARE,)),
                Goal("rate", 0.9, (GRANIAN,)),
            ),
        ),
        Workload(
            "rest", f"POST /hello, an answer of 768 KiB, {count(READERS)}", "http", READERS,
            "hello_large", ours("rest"),
        ),
    ]  # fmt: skip


def kv() -> list[Workload]:
    """Key-value store: reads and writes, of ours on disk and of the other one in memory."""
    targets = ours("kv", {"WIRELAB_KV_FILE": str(BUILD / "kv.sqlite3")})
    goals = {("set", 16): 1.0, ("get", 16): 1.5}
    return [
        Workload(
            "kv", f"{method}, {count(clients, 'client')}", "http", clients, method, targets,
            (Goal("rate", goals[method, clients], ("single",)),)
            if (method, clients) in goals else (),
            http_requests.fill if method == "get" else None,
        )
        for method in ("set", "get")
        for clients in (1, 16)
    ] + [
        Workload(
            "kv", f"get of 1 MB, {count(READERS, 'client')}", "http", READERS, "get_large",
            targets[:1],  # the other one answers none of them within a second
            prepare=http_requests.fill_large,
        )
    ]  # fmt: skip


def kv_cluster() -> list[Workload]:
    """Key-value store: the same on one node of etcd, beside its gateway and beside kv on disk."""
    (on_disk,) = (target for target in kv()[0].targets if target.kind == "default")
    on_etcd = replace(on_disk, name=ON_ETCD, environment={}, store=ETCD)
    # A single client waits for the gateway and for kv, one after the other, and no call shares a
    # transaction with it: so what kv may add is a time.
    goals = {1: Goal("added", 300, (GATEWAY,)), 16: Goal("rate", 0.7, (GATEWAY,))}
    return [
        Workload(
            "kv-cluster", f"{method}, {count(clients, 'client')}", "http", clients, method,
            (
                on_etcd,
                Target(
                    GATEWAY, "peer", ETCD, request=f"gateway_{method}",
                    prepare=http_requests.fill_gateway,
                ),
                replace(on_disk, name="gunicorn on disk", kind="variant"),
            ),
            (goals[clients],),
            http_requests.fill if method == "get" else None,
        )
        for method in ("set", "get")
        for clients in (1, 16)
    ]  # fmt: skip


def object_echo() -> list[Workload]:
    """Object echo: what a message takes, with our client and with the standard library's.

    There is one client, so a rate is the reciprocal of the latency.
    """
    models = tuple(replace(each, client="object_echo") for each in ours("object-echo"))
    stock = tuple(
        replace(each, name=stock_client(each.name), kind="variant", client="object_echo_stock")
        for each in models
    )
    goals = tuple(
        Goal("rate", 0.5, (each.name,), stock_client(each.name))
        for each in models
        if each.name != "classic"
    )
    titles = {
        "connect": "a new connection and its first message",
        "1": "1 B", "20000": "20 KB", "262144": "256 KiB",
    }  # fmt: skip
    return [
        Workload("object-echo", f"{what}, 1 client", "rpc", 1, call, (*models, *stock), goals)
        for call, what in titles.items()
    ] + [Workload("object-echo", f"4 MiB, {count(16, 'client')}", "rpc", 16, str(4 * MIB), models)]


def stock_client(name: str) -> str:
    """Return what a server is called that the standard library's client talks to."""
    return f"{name}, stock client"


def rpc() -> list[Workload]:
    """RPC: a call that is nothing but overhead, one of bytes, and one of a thousand records."""
    packages = (
        ("RPyC", "rpyc_server"),
        ("Pyro5", "pyro5_server"),
        ("grpcio", "grpcio_server"),
        ("zerorpc", "zerorpc_server"),
        ("XML-RPC", "xml_rpc_server"),
    )
    # It can also have one thread for all connections, which is better for many and worse for one.
    multiplex = Target(
        "Pyro5 multiplex",
        "peer",
        ("python", "-m", "bench.peers.rpc.pyro5_server"),
        {"PYRO_SERVERTYPE": "multiplex"},
        "pyro5_server",
    )
    targets = (
        *ours("rpc"),
        *on_uvloop("rpc", "coroutines"),
        module(RECIPE, "bench.peers.rpc.recipe", client="recipe"),
        *(module(name, f"bench.peers.rpc.{path}", client=path) for name, path in packages),
        multiplex,
    )
    large = (Goal("rate", 1.5, ("grpcio",)), Goal("rate", 1.5, ("zerorpc",)))
    goals = {
        ("add", 1): (
            Goal("rate", 2, ("Pyro5",)),
            Goal("rate", 3, ("RPyC",)),
            Goal("rate", 7, ("grpcio",)),
            Goal("rate", 1.2, (RECIPE,)),
        ),
        ("add", 16): (Goal("rate", 3, (*(name for name, _ in packages), multiplex.name)),),
        (str(MIB), 1): large,
        (str(MIB), 16): large,
    }
    titles = {"add": "add(2, 3)", str(MIB): "echo of 1 MiB"}
    # Pyro5 as it comes, too: there is a serializer that is written in Python, as our decoder is.
    serpent = module(SERPENT, "bench.peers.rpc.pyro5_server", client="pyro5_serpent")
    records = Workload(
        "rpc", f"a list of 1,000 records, {count(1, 'client')}", "rpc", 1, "records",
        (*targets, serpent), (Goal("rate", 1.5, (SERPENT,)), Goal("rate", 3, ("XML-RPC",))),
        seconds=1,
    )  # fmt: skip
    return [
        Workload(
            "rpc", f"{titles[call]}, {count(clients, 'client')}", "rpc", clients, call, targets,
            goals[call, clients],
        )
        for call in titles
        for clients in (1, 16)
    ] + [records]  # fmt: skip


def relay() -> list[Workload]:
    """Relay: a server through the idle one and directly, and whether its toxics are exact.

    A delay is drawn for each 512 bytes, so each request of that size has one of its own.
    """

    def through(service: str, **toxic: object) -> Target:
        (command,) = commands("relay").values()
        return Target("through the relay", "default", command, behind=service, toxic=toxic)

    def both(service: str) -> tuple[Target, ...]:
        return through(service), replace(ours(service)[0], name=DIRECTLY, kind="baseline")

    added = (Goal("added", 150, (DIRECTLY,)),)
    return [
        Workload(
            "relay", f"tcp-echo, 64 B, {count(1)}", "tcp", 1, "64", both("tcp-echo"), added
        ),
        Workload(
            "relay", f"tcp-echo, 64 B, {count(64)}", "tcp", 64, "64", both("tcp-echo"),
            (Goal("rate", 0.25, (DIRECTLY,)),),
        ),
        Workload(
            "relay", f"udp-time, a datagram, {count(1, 'client')}", "udp", 1, "1",
            both("udp-time"), added,
        ),
        Workload(
            "relay", "tcp-echo, 512 B, latency 50 ± 10 ms", "tcp", 64, "512",
            (through("tcp-echo", kind="latency", latency=50, jitter=10),),
            (Goal("p50", 50_000, tolerance=0.06),),
        ),
        Workload(
            "relay", "tcp-echo, 200 KB at 4,000 KB/s", "tcp", 1, "200000",
            (through("tcp-echo", kind="bandwidth", rate=4000),),
            (Goal("p50", 50_000, tolerance=0.05),),
        ),
    ]  # fmt: skip


def count(number: int, thing: str = "connection") -> str:
    """Return `1 client`, `16 clients`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def workloads() -> list[Workload]:
    """Return everything that is measured."""
    return [
        *tcp_echo(), *udp_time(), *rest(), *kv(), *kv_cluster(), *object_echo(), *rpc(), *relay(),
    ]  # fmt: skip
