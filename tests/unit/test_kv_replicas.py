"""The client of several replicas: which call goes to the next one, and which does not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xmlrpc.client import Fault
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

import pytest

from clients import addresses, kv
from clients.addresses import Address
from tests.support.sockets import closed_port, in_a_thread


class Store(SimpleXMLRPCServer):
    """A store that notes its calls, and answers each with its own number, a fault or nothing."""

    def __init__(self, number: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler, logRequests=False, allow_none=True)
        self.number = number
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.fault = 0
        self.answers = True
        self.register_instance(self)

    def _dispatch(self, method: str, params: Any) -> Any:
        self.calls.append((method, params))
        if self.fault:
            raise Fault(self.fault, "a fault")
        return self.number


class Handler(SimpleXMLRPCRequestHandler):
    """Ends the connection in place of an answer, if it is told to."""

    server: Store

    def send_response(self, code: int, message: str | None = None) -> None:
        """Send the head of an answer, or nothing and no more."""
        if not self.server.answers:
            raise ConnectionAbortedError
        super().send_response(code, message)


@contextmanager
def store(number: int) -> Iterator[Store]:
    """Run a store."""
    made = Store(number)
    made.handle_error = lambda *_: None  # type: ignore[method-assign]
    with in_a_thread(made):
        yield made


@pytest.fixture
def two() -> Iterator[tuple[Store, Store]]:
    """Run two replicas."""
    with store(1) as first, store(2) as second:
        yield first, second


@contextmanager
def client(*stores: Store) -> Iterator[Any]:
    """Lend a client of replicas."""
    places = [Address("127.0.0.1", each.server_address[1]) for each in stores]
    with kv.replicated(places) as found:
        yield found


def test_calls_go_to_one_replica_while_it_answers(two: tuple[Store, Store]) -> None:
    """Also those that it answers with a fault of the call."""
    with client(*two) as found:
        assert [found.get("x"), found.set("x", 1)] == [1, 1]
        two[0].fault = kv.NO_SUCH_KEY
        with pytest.raises(Fault):
            found.get("x")
    assert two[1].calls == []


def test_a_replica_that_is_not_there_is_passed_over(two: tuple[Store, Store]) -> None:
    """Nothing was sent to it, so a write goes to the next one, and so do those after it."""
    with closed_port() as nowhere:
        places = [nowhere, Address("127.0.0.1", two[1].server_address[1])]
        with kv.replicated(places) as found:
            assert [found.set("x", 1), found.set("x", 2)] == [2, 2]


@pytest.mark.parametrize(("code", "answered"), [(kv.UNAVAILABLE, True), (kv.UNKNOWN, False)])
def test_a_write_is_repeated_only_if_nothing_was_written(
    two: tuple[Store, Store], code: int, answered: bool
) -> None:
    """That is one of the codes of faults; the other says that nobody knows."""
    two[0].fault = code
    with client(*two) as found:
        if answered:
            assert found.set("x", 1) == 2
        else:
            with pytest.raises(Fault):
                found.set("x", 1)
            assert two[1].calls == []


def test_a_read_is_repeated_and_a_write_is_not_where_an_answer_is_lost(
    two: tuple[Store, Store],
) -> None:
    """A write may have been carried out."""
    two[0].answers = False
    with client(*two) as found:
        assert found.get("x") == 2
    with client(*two) as found, pytest.raises(OSError, match="closed connection"):
        found.compare_and_set("x", None, 1)
    assert [method for method, _ in two[1].calls] == ["get"]


def test_where_no_replica_can_be_had_the_last_reason_is_told() -> None:
    """It is an OSError, as of one."""
    with (
        closed_port() as one,
        closed_port() as other,
        kv.replicated([one, other]) as found,
        pytest.raises(ConnectionRefusedError),
    ):
        found.get("x")


def test_a_variable_can_name_all_replicas() -> None:
    """Who needs one address takes the first."""
    environ = {"WIRELAB_KV_ADDRESS": "kv-1:15000,kv-2:15000"}
    assert addresses.replicas("kv", environ) == [Address("kv-1", 15000), Address("kv-2", 15000)]
    assert addresses.address("kv", environ) == Address("kv-1", 15000)
    assert addresses.replicas("kv", {}) == [Address("127.0.0.1", 15000)]
