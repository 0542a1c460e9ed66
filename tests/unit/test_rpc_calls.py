"""What the RPC server answers, and what the client makes of it, without a connection between."""

import builtins
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from clients.rpc import RemoteError, rebuilt
from services import safe_pickle
from services.rpc import calls
from services.rpc.functions import functions


class Unpicklable:
    """An object that cannot be pickled, and says so with an error of its own."""

    def __reduce__(self) -> str:
        raise RuntimeError("not me")

    def __repr__(self) -> str:
        return "Unpicklable()"


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Return what registers a function for one test."""
    return lambda function: monkeypatch.setitem(functions, "function", function)


def answer(message: bytes) -> bytes:
    """Return the answer of the safe drivers, which is that of the printed recipe, too."""
    (found,) = filter(None, calls.answer(message))
    return found


def once(*request: Any) -> Any:
    """Return the answer to a request, as our own client sends it."""
    return safe_pickle.loads(answer(safe_pickle.dumps(request)))


def twice(*request: Any) -> Any:
    """Return the answer to a request that is pickled twice, unpickled twice."""
    return pickle.loads(pickle.loads(answer(pickle.dumps(pickle.dumps(request)))))


def test_a_result_is_marked_as_one() -> None:
    """By position and by keyword, in a tuple or a list."""
    assert once("add", (2, 3), {}) == (True, 5)
    assert once("sub", [], {"y": 2, "x": 3}) == (True, 1)


def test_a_request_pickled_twice_is_answered_with_the_result_alone() -> None:
    """Pickled twice as well."""
    assert twice("add", (2, 3), {}) == 5


def test_an_exception_is_its_name_its_arguments_and_its_traceback() -> None:
    """All of it plain data."""
    held, name, args, trace = once("sub", ([1, 2], 4), {})
    assert (held, name) == (False, "TypeError")
    assert args == ("unsupported operand type(s) for -: 'list' and 'int'",)
    assert trace.startswith("Traceback (most recent call last):\n")
    assert "return x - y" in trace


@pytest.mark.parametrize("name", ["eval", "__import__", "functions", "", "ADD", "add "])
def test_only_registered_functions_can_be_called(name: str) -> None:
    """There is no other way to name one."""
    assert once(name, (), {})[:3] == (
        False,
        "NameError",
        (f"no function {name!r} is registered",),
    )


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(None, id="nothing"),
        pytest.param("add", id="a name alone"),
        pytest.param(("add", (2, 3)), id="no kwargs"),
        pytest.param(("add", (2, 3), {}, 1), id="four parts"),
        pytest.param((b"add", (2, 3), {}), id="the name as bytes"),
        pytest.param(("add", {2, 3}, {}), id="args as a set"),
        pytest.param(("add", "23", {}), id="args as text"),
        pytest.param(("add", (2, 3), []), id="kwargs as a list"),
        pytest.param((["add"], (2, 3), {}), id="a list as the name"),
    ],
)
def test_a_request_of_another_shape_is_a_type_error(request_: object) -> None:
    """However it is pickled."""
    message = "a request is (function name, args, kwargs)"
    found = safe_pickle.loads(answer(safe_pickle.dumps(request_)))
    assert found[:3] == (False, "TypeError", (message,))
    raised = pickle.loads(pickle.loads(answer(pickle.dumps(pickle.dumps(request_)))))
    assert (type(raised), raised.args) == (TypeError, (message,))


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps(len)])
def test_what_is_not_plain_data_is_an_answer_too(data: bytes) -> None:
    """The connection goes on; nothing was run."""
    assert safe_pickle.loads(answer(data))[:2] == (False, "UnpicklingError")
    raised = pickle.loads(pickle.loads(answer(pickle.dumps(data))))
    assert type(raised) is RuntimeError
    assert str(raised).startswith("UnpicklingError: ")


def test_keywords_that_are_no_text_are_an_error() -> None:
    """Python's own."""
    assert once("add", (), {1: 2})[1:3] == ("TypeError", ("keywords must be strings",))


@pytest.mark.parametrize(
    "result",
    [Unpicklable(), [Unpicklable()], lambda: 0],
    ids=["an object", "in a list", "a function"],
)
def test_a_result_that_cannot_be_pickled_is_an_error(
    register: Callable[[Callable[..., Any]], None], result: object
) -> None:
    """The caller hears of it, in either form."""
    register(lambda: result)
    assert once("function", (), {})[0] is False
    assert isinstance(twice("function", (), {}), Exception)


class Special(ValueError):
    """An exception that no client knows."""


ERRORS: dict[str, tuple[Exception, tuple[str, tuple[Any, ...]], tuple[type, tuple[Any, ...]]]] = {
    "a built-in": (KeyError("k", 1), ("KeyError", ("k", 1)), (KeyError, ("k", 1))),
    "with arguments that are not plain": (
        ValueError(ValueError("inner")),
        ("ValueError", ("inner",)),
        (ValueError, ("inner",)),
    ),
    "with arguments that cannot be pickled": (
        ValueError("x", Unpicklable()),
        ("ValueError", ("('x', Unpicklable())",)),
        (ValueError, ("('x', Unpicklable())",)),
    ),
    "of a class of its own": (
        Special("x"),
        ("Special", ("x",)),
        (RuntimeError, ("Special: x",)),
    ),
    "a group": (
        ExceptionGroup("g", [KeyError("k")]),
        ("ExceptionGroup", ("g (1 sub-exception)",)),
        (RuntimeError, ("ExceptionGroup: g (1 sub-exception)",)),
    ),
    "with exactly five arguments": (
        UnicodeDecodeError("ascii", b"\xff", 0, 1, "why"),
        ("UnicodeDecodeError", ("ascii", b"\xff", 0, 1, "why")),
        (UnicodeDecodeError, ("ascii", b"\xff", 0, 1, "why")),
    ),
}


@pytest.mark.parametrize(("error", "described", "raised"), ERRORS.values(), ids=ERRORS)
def test_every_exception_is_an_answer(
    register: Callable[[Callable[..., Any]], None],
    error: Exception,
    described: tuple[str, tuple[Any, ...]],
    raised: tuple[type, tuple[Any, ...]],
) -> None:
    """With its own arguments where they are plain data, with its text otherwise."""

    def function() -> None:
        raise error

    register(function)
    assert once("function", (), {})[1:3] == described
    found = twice("function", (), {})
    assert (type(found), found.args) == raised


@pytest.mark.parametrize(
    ("name", "args", "kind"),
    [
        pytest.param("TypeError", ("x",), TypeError, id="TypeError"),
        pytest.param("KeyError", ("k", 1), KeyError, id="KeyError"),
        pytest.param("FileNotFoundError", (2, "No such file"), FileNotFoundError, id="OSError"),
    ],
)
def test_a_built_in_exception_is_rebuilt_as_itself(
    name: str, args: tuple[Any, ...], kind: type[Exception]
) -> None:
    """With its arguments, and the remote traceback as a note."""
    error = rebuilt(name, args, "Traceback: far away\n")
    assert (type(error), error.args) == (kind, args)
    assert error.__notes__ == ["Raised on the server:\nTraceback: far away\n"]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        pytest.param("Special", ("x",), id="a class of the server's own"),
        pytest.param("eval", ("1",), id="a function"),
        pytest.param("int", ("1",), id="a class that is no exception"),
        pytest.param("SystemExit", (1,), id="an exit"),
        pytest.param("KeyboardInterrupt", (), id="an interrupt"),
        pytest.param("__import__", ("os",), id="an import"),
        pytest.param("UnicodeDecodeError", ("text alone",), id="too few arguments"),
        pytest.param("ExceptionGroup", ("g", []), id="a group of none"),
        pytest.param("ExceptionGroup", ("g", [1]), id="a group of numbers"),
    ],
)
def test_what_cannot_be_rebuilt_is_a_remote_error(name: str, args: tuple[Any, ...]) -> None:
    """Nothing that the server names is called unless it is a built-in exception class."""
    error = rebuilt(name, args, "trace")
    assert type(error) is RemoteError
    assert error.args == (name, *args)
    assert error.__notes__ == ["Raised on the server:\ntrace"]


ALL_KINDS_OF_ARGUMENTS: list[tuple[Any, ...]] = [
    (),
    ("x",),
    (1, 2),
    ("x", []),
    ("x", ()),
    (None,) * 5,
    ("ascii", b"x", 0, 1, "why"),
]


def test_no_built_in_exception_takes_the_client_down() -> None:
    """Whatever arguments a server sends."""
    for name in vars(builtins):
        for args in ALL_KINDS_OF_ARGUMENTS:
            assert isinstance(rebuilt(name, args, ""), Exception)
