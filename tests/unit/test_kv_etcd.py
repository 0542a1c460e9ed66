"""What is asked of etcd: of which node, and what is never sent again."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from clients.addresses import Address
from services.kv import etcd, etcd_store
from services.kv.etcd import Etcd
from services.kv.faults import Fault, Kind
from tests.support.pace import until, within
from tests.support.processes import refuses_to_start
from tests.support.sockets import closed_port, in_a_thread

NO_LEADER = {"code": 14, "message": "etcdserver: no leader"}
Respond = Callable[["Gateway"], None]


class Gateway(BaseHTTPRequestHandler):
    """A node whose answers the test decides; its server has what it was asked, and from where."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: "Node"

    def do_POST(self) -> None:
        """Read a request, and answer it as the test says."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(json.loads(body))
        self.server.clients.add(self.client_address)
        self.server.respond(self)

    def answer(self, status: int, document: object) -> None:
        """Send an answer."""
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


class Node(ThreadingHTTPServer):
    """A node that answers as it is told."""

    def __init__(self, respond: Respond) -> None:
        super().__init__(("127.0.0.1", 0), Gateway)
        self.respond = respond
        self.requests: list[Any] = []
        self.clients: set[Any] = set()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address("127.0.0.1", self.server_port)


@contextmanager
def node(respond: Respond) -> Iterator[Node]:
    """Run a node."""
    with in_a_thread(Node(respond)) as made:
        yield made


def well(gateway: Gateway) -> None:
    """Answer."""
    gateway.answer(200, {"header": {"revision": "7"}, "succeeded": True})


def refusing(status: int, code: int, message: str) -> Respond:
    """Return what answers with an error."""
    return lambda gateway: gateway.answer(status, {"code": code, "message": message})


def closing_it(gateway: Gateway) -> None:
    """End the connection without an answer."""
    gateway.close_connection = True


def well_and_closing(gateway: Gateway) -> None:
    """Answer, and end the connection."""
    well(gateway)
    closing_it(gateway)


def silent(gateway: Gateway) -> None:
    """Answer nothing until the client has left."""
    gateway.connection.recv(1)
    gateway.close_connection = True


@pytest.fixture
def good() -> Iterator[Node]:
    """Run a node that answers."""
    with node(well) as made:
        yield made


def test_a_node_without_a_leader_has_passed_on_nothing(good: Node) -> None:
    """It is asked to refuse in that case, and the next one gets the request, also a write."""
    leaderless: Respond = lambda gateway: gateway.answer(503, NO_LEADER)  # noqa: E731
    with node(leaderless) as first, closing(Etcd([first.address, good.address])) as client:
        assert client.write("txn", {"x": 1})["succeeded"]
        assert (first.requests, good.requests) == ([{"x": 1}], [{"x": 1}])
        client.write("txn", {"x": 2})  # the one that has answered is asked first now
        assert len(first.requests) == 1


@pytest.mark.parametrize("respond", [closing_it, silent, refusing(504, 4, "request timed out"),
                                     refusing(503, 14, "etcdserver: leader changed")])  # fmt: skip
def test_a_write_that_has_left_is_never_sent_again(
    good: Node, respond: Respond, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has become of it: nobody knows, and the fault says that. A read is asked again."""
    monkeypatch.setattr(etcd, "SECONDS", 0.5)
    with node(respond) as bad, closing(Etcd([bad.address, good.address])) as client:
        with pytest.raises(Fault) as caught:
            client.write("txn", {"x": 1})
        assert caught.value.faultCode == Kind.UNKNOWN
        assert caught.value.faultString.startswith("nobody knows whether this was written: 127.")
        assert (bad.requests, good.requests) == ([{"x": 1}], [])
    monkeypatch.setattr(etcd, "READ_SECONDS", 0.1)
    with node(respond) as bad, closing(Etcd([bad.address, good.address])) as client:
        assert client.read("range", {"y": 1})["succeeded"]
        assert (bad.requests, good.requests) == ([{"y": 1}], [{"y": 1}])


@pytest.mark.parametrize(
    "respond",
    [
        refusing(400, 3, "etcdserver: request is too large"),
        refusing(429, 8, "etcdserver: mvcc: database space exceeded"),
    ],
)
def test_what_etcd_refuses_was_not_written(good: Node, respond: Respond) -> None:
    """No other node is asked, as it would say the same."""
    with node(respond) as bad, closing(Etcd([bad.address, good.address])) as client:
        with pytest.raises(Fault, match="nothing was written: etcdserver: ") as caught:
            client.write("txn", {})
        assert caught.value.faultCode == Kind.STORAGE_FAILED
        assert good.requests == []


def test_where_no_node_is_to_be_had_nothing_was_written() -> None:
    """The first call takes its time, the next ones fail sooner: many may wait in line."""
    with ExitStack() as ports:
        nowhere = [ports.enter_context(closed_port()) for _ in range(3)]
        with closing(Etcd(nowhere)) as client:
            took = []
            for ask in (client.write, client.write, client.read):
                began = time.monotonic()
                with pytest.raises(Fault, match="etcd is not available, and nothing was") as caught:
                    ask("txn", {})
                took.append(time.monotonic() - began)
                assert caught.value.faultCode == Kind.UNAVAILABLE
    assert 2 * max(took[1:]) < took[0]
    assert within(took[0], etcd.SECONDS + 0.5)


def test_all_requests_have_one_connection(good: Node) -> None:
    """Whatever the answers: a refusal does not end it, either."""
    with closing(Etcd([good.address])) as client:
        for number in range(3):
            client.write("txn", {"x": number})
            client.read("range", {"x": number})
        good.respond = refusing(400, 3, "etcdserver: duplicate key given in txn request")
        with pytest.raises(Fault):
            client.write("txn", {"x": 3})
        good.respond = well
        client.write("txn", {"x": 4})
    assert len(good.requests) == 8
    assert len(good.clients) == 1


def test_a_connection_that_the_node_has_closed_is_replaced(good: Node) -> None:
    """As after a restart: the end was there before the request, so nothing is lost."""
    with closing(Etcd([good.address])) as client:
        client.write("txn", {"x": 1})
        connection = client._nodes[0]._connection
        assert connection
        good.respond = well_and_closing
        client.write("txn", {"x": 2})
        until(lambda: etcd.has_ended(connection), "the end has arrived")
        client.write("txn", {"x": 3})
    assert good.requests == [{"x": 1}, {"x": 2}, {"x": 3}]


def test_a_name_that_takes_long_to_look_up_keeps_nobody_waiting(
    good: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a container that is stopped may: the next node is asked meanwhile."""
    look_up = socket.getaddrinfo

    def slow(host: str, *rest: Any, **more: Any) -> Any:
        if host == "stopped.invalid":
            time.sleep(5)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with closing(Etcd([("stopped.invalid", 2379), good.address])) as client:
        began = time.monotonic()
        assert client.write("txn", {})["succeeded"]
        assert within(time.monotonic() - began, 3 * etcd.CONNECT_SECONDS)


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("", []),
        ("etcd-1:2379", [("etcd-1", 2379)]),
        ("127.0.0.1:1, [::1]:2", [("127.0.0.1", 1), ("::1", 2)]),
    ],
)
def test_the_nodes_are_a_setting(text: str, nodes: list[tuple[str, int]]) -> None:
    """A list with commas."""
    assert etcd_store.endpoints(text) == nodes


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("etcd-1", "a host:port"),
        ("etcd-1:2379,", "a host:port"),
        ("::1:2379", "a host:port: an IPv6 address has to stand in brackets"),
        ("etcd-1:2379,etcd-1:2379", "a list of different nodes"),
    ],
)
def test_a_list_of_nodes_that_is_none_is_one_line(value: str, reason: str) -> None:
    """It names the variable and the value, and no worker is started."""
    command = ["gunicorn", "-c", "services/kv/gunicorn.conf.py"]
    line = refuses_to_start(command, WIRELAB_KV_ETCD=value)
    assert line == f"WIRELAB_KV_ETCD has value {value!r}. Not {reason}"
