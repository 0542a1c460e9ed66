"""What an RPC server answers to a message, whatever its concurrency model.

A request is `(function name, args, kwargs)`. The answer is `(True, result)`, or
`(False, exception class name, exception args, traceback text)`, so that no client has to
unpickle an exception, which means to call whatever its pickle names.

A request that arrives pickled twice comes from a client of an older form: it pickles the request
and gives the bytes to `Connection.send`, which pickles them again. It is answered in kind: the
result alone, or else an exception object of a built-in class for the client to raise, and either
one pickled twice.
"""

import builtins
import logging
import pickle
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from services import safe_pickle
from services.connection.frames import MessageTooLarge
from services.connection.protocol import Answer
from services.rpc.functions import functions
from services.safe_pickle.opcodes import BINBYTES, BINBYTES8

log = logging.getLogger("rpc")


def answer(message: bytes) -> Iterator[bytes | None]:
    """Carry out the request in `message`; yield the answer, and before it None between steps."""
    twice = False
    try:
        request = yield from safe_pickle.loads_in_steps(message)
        if twice := isinstance(request, bytes):
            request = yield from safe_pickle.loads_in_steps(request)
        yield result_answer(call(request), twice)
    except Exception as error:  # noqa: BLE001 - whatever a function raises is for its caller
        yield error_answer(error, twice)


def result_answer(result: object, twice: bool) -> bytes:
    """Return the answer that has the caller return `result`; raises ValueError if it cannot be."""
    if twice:
        return safe_pickle.dumps(safe_pickle.dumps(result))
    return safe_pickle.dumps((True, result))


def error_answer(error: Exception, twice: bool) -> bytes:
    """Return the answer that has the caller raise `error`, or an error that says the same."""
    log.info("raised to the caller: %s: %r", type(error).__name__, str(error)[:200])
    if twice:
        return safe_pickle.dumps(pickle.dumps(as_builtin(error)))
    described = type(error).__name__, plain_args(error), traceback_text(error)
    return safe_pickle.dumps((False, *described))


def refusal(error: Exception) -> bytes:
    """Return the answer to a request that was not read, in kind as far as its beginning tells."""
    # PROTO, its argument, and the opcode of bytes: those of a request that is pickled twice.
    twice = isinstance(error, MessageTooLarge) and error.beginning[2] in (BINBYTES, BINBYTES8)
    return error_answer(error, twice)


def call(request: Any) -> Any:
    """Call the function that `request` names and return its result; what it raises is raised."""
    match request:
        # As class patterns, `str(name)` and so on, the three take 1.7 µs more on Python 3.11.
        case (name, args, kwargs) if (
            isinstance(name, str) and isinstance(args, (list, tuple)) and isinstance(kwargs, dict)
        ):
            if name not in functions:
                raise NameError(f"no function {name!r:.100} is registered")
            return functions[name](*args, **kwargs)
    raise TypeError("a request is (function name, args, kwargs)")


def traceback_text(error: Exception) -> str:
    """Return the traceback of `error` as Python shows it, but for the marks below the lines.

    To find what to mark takes Python several times as long as all the rest, and whoever makes
    nothing but errors would have all others wait for that.
    """
    stack = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__))
    text = [*stack.format(), *traceback.format_exception_only(error)]
    return "Traceback (most recent call last):\n" + "".join(text)


def plain_args(error: Exception) -> tuple[Any, ...]:
    """Return the arguments of `error` where they are plain data, otherwise its text alone."""
    try:
        args: tuple[Any, ...] = safe_pickle.loads(safe_pickle.dumps(error.args))
    except Exception:  # noqa: BLE001 - pickling runs the code of whatever the arguments are
        return (str(error),)
    return args


def as_builtin(error: Exception) -> Exception:
    """Return an exception of a built-in class that says the same: any client can unpickle it."""
    kind = getattr(builtins, type(error).__name__, None)
    if kind is type(error):
        with suppress(Exception):  # where its class does not take what is left of its arguments
            return kind(*plain_args(error))
    return RuntimeError(f"{type(error).__name__}: {error}")


ANSWER = Answer(answer, refusal)
