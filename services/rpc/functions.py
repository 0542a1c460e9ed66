"""The functions that can be called from afar: those registered here, and no others."""

import inspect
from collections.abc import Callable
from typing import Any

functions: dict[str, Callable[..., object]] = {}


def register(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make `function` callable under its own name (also a decorator)."""
    functions[function.__name__] = function
    return function


@register
def add(x: Any, y: Any) -> Any:
    """Return x + y."""
    return x + y


@register
def sub(x: Any, y: Any) -> Any:
    """Return x - y."""
    return x - y


@register
def echo(value: Any) -> Any:
    """Return `value`."""
    return value


@register
def help() -> dict[str, str]:  # noqa: A001 - the name to call it by
    """Return each function with its parameters, and what it does."""
    return {
        f"{name}({', '.join(inspect.signature(function).parameters)})": inspect.getdoc(function)
        or ""
        for name, function in functions.items()
    }
