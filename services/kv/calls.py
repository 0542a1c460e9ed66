"""What a client asks for with one request: a call, or many with system.multicall.

Source of the latter: Eric Kidd, "RFC: system.multicall", 2001-01-07.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from services.kv import xml_rpc
from services.kv.faults import Fault, Kind
from services.kv.methods import Methods

MULTICALL = "system.multicall"
WRITES = ("set", "delete", "compare_and_set")
DEPENDS_ON_VALUE = ("get", "exists", "delete", "compare_and_set")
MAX_CALLS = 500  # of a multicall
MAX_RESULTS = 1024 * 1024  # characters of its results, after which nothing is read any more

Outcome = str | Fault  # of a call: the result, as XML, or what is wrong

log = logging.getLogger("kv")


class Call(NamedTuple):
    """A call that was checked: `make` makes it, and returns the result as XML or raises Fault.

    `reads` is the name whose value has to be known for that, if there is one.
    """

    method: str
    make: Callable[[], str]
    reads: tuple[str, ...] = ()

    def outcome(self) -> Outcome:
        """Make the call; its client is not told what went wrong in here."""
        try:
            return self.make()
        except Fault as fault:
            return fault
        except Exception:
            log.exception("internal error")
            return Fault(Kind.INTERNAL_ERROR)


class Request(NamedTuple):
    """Calls, to be made in this order, and the function that makes a response of the outcomes."""

    calls: Sequence[Call]
    respond: Callable[[Sequence[Outcome]], bytes]
    writes: bool = False  # whether one of the calls may write
    lists: bool = False  # whether all names are the response


def parse(body: bytes, charset: str | None, methods: Methods) -> Request:
    """Return what a client asks for; where that is wrong, a call that has a fault."""
    try:
        method, arguments = xml_rpc.parse_call(body, charset)
        if method == MULTICALL:
            calls = Multicall(arguments, methods).calls
            writes = any(call.method in WRITES for call in calls)
            return Request(calls, respond_to_multicall, writes)
        call = checked(method, arguments, methods)
    except Fault as fault:
        return Request([refused(fault)], respond)
    return Request([call], respond, writes=method in WRITES, lists=method == "keys")


def checked(method: str, arguments: Sequence[Any], methods: Methods) -> Call:
    """Return a call; raises Fault for what the method does not take."""
    make = methods.call(method, arguments)
    return Call(method, make, (arguments[0],) if method in DEPENDS_ON_VALUE else ())


def respond(outcomes: Sequence[Outcome]) -> bytes:
    """Return the response with the only outcome."""
    (outcome,) = outcomes
    if isinstance(outcome, Fault):
        return xml_rpc.fault_response(outcome)
    return xml_rpc.response(outcome)


def respond_to_multicall(outcomes: Sequence[Outcome]) -> bytes:
    """Return the response with all outcomes: arrays of one result each, and structs for faults."""
    values = [
        xml_rpc.marshal({"faultCode": outcome.faultCode, "faultString": outcome.faultString})
        if isinstance(outcome, Fault)
        else xml_rpc.marshal_array([outcome])
        for outcome in outcomes
    ]
    return xml_rpc.response(xml_rpc.marshal_array(values))


def refused(fault: Fault) -> Call:
    """Return a call that has a fault, whoever makes it."""

    def fail() -> str:
        raise fault

    return Call("", fail)


class Multicall:
    """The calls of a multicall, whose results are limited together."""

    def __init__(self, arguments: Sequence[Any], methods: Methods) -> None:
        """Check the calls; raises Fault if that is not what they are."""
        match arguments:
            case [list(calls)] if len(calls) <= MAX_CALLS:
                self.calls = [
                    call._replace(make=partial(self._make, number, call))
                    for number, call in enumerate(self._call(each, methods) for each in calls)
                ]
            case _:
                raise Fault(
                    Kind.BAD_ARGUMENT, f"{MULTICALL} takes an array of up to {MAX_CALLS} calls"
                )
        # Of the results before each call; where the store has a call made again, so it is again.
        self._sizes = [0] * (len(self.calls) + 1)

    def _call(self, call: object, methods: Methods) -> Call:
        match call:
            case {"methodName": str(name)} if name == MULTICALL:
                return refused(Fault(Kind.BAD_ARGUMENT, f"{MULTICALL} in {MULTICALL}"))
            case {"methodName": str(name), "params": list(arguments)}:
                try:
                    return checked(name, arguments, methods)
                except Fault as fault:
                    return refused(fault)
        what = "a call is a struct with methodName, a string, and params, an array"
        return refused(Fault(Kind.BAD_ARGUMENT, what))

    def _make(self, number: int, call: Call) -> str:
        size = self._sizes[number + 1] = self._sizes[number]
        if size > MAX_RESULTS and call.method not in WRITES:
            raise Fault(Kind.TOO_LARGE, f"the results have more than {MAX_RESULTS} characters")
        try:
            result = call.make()
        except Fault as fault:
            if fault.faultCode == Kind.TOO_LARGE:  # to find that out again and again takes long
                self._sizes[number + 1] = MAX_RESULTS + 1
            raise
        self._sizes[number + 1] = size + len(result)
        return result
