"""Values as the command line reads and prints them: Python's literals, or text.

What is printed can be typed again. So a text is taken for a literal only if printing its value
gives the same literal: `5 # five`, `1_000` and `'a' 'b'` are text, or something of them would be
lost. What has no literal in Python is written as `repr` writes it: `Decimal('1.20')`.
"""

import ast
import datetime
import io
import tokenize
import warnings
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

VALUES = """\
A value is read as a Python literal (42, -1e3, [1, 2], {'a': None}) if all of it
is one, and nothing is lost when it is printed. Everything else is text: hello,
inf, 1_000, 5 # five, 'a' 'b'. The text 42 needs quotes of its own: "'42'". Text
that begins with two hyphens comes after `--`."""

IGNORED = {tokenize.ENCODING, tokenize.NEWLINE, tokenize.NL, tokenize.ENDMARKER}
NOT_ONE = (  # what reading a text as an expression may raise
    ValueError, TypeError, ArithmeticError, SyntaxError, tokenize.TokenError, MemoryError,
    RecursionError,
)  # fmt: skip
NAMED: dict[str, Any] = {"datetime.timezone.utc": datetime.UTC}
CALLED: dict[str, Callable[..., Any]] = {
    "datetime.date": datetime.date,
    "datetime.datetime": datetime.datetime,
    "datetime.time": datetime.time,
    "datetime.timedelta": datetime.timedelta,
    "datetime.timezone": datetime.timezone,
    "Decimal": Decimal,
    "OrderedDict": OrderedDict,
    "UUID": UUID,
    "bytearray": lambda data: bytearray(memoryview(data)),  # a number would be a length
    "frozenset": frozenset,
    "set": set,
}


def literal(text: str) -> Any:
    """Return the value of `text` where it is a literal, or a value as `repr` writes it, else it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is no Python, that it is no good Python
        try:
            value = evaluated(ast.parse(text, mode="eval").body)
            return value if text == text.strip() and tokens(text) == tokens(repr(value)) else text
        except NOT_ONE:
            return text


def evaluated(node: ast.expr) -> Any:
    """Return the value of an expression of literals and of the names above; ValueError for others.

    ast.literal_eval does so too, without the names, and does not look into a call.
    """
    match node:
        case ast.Attribute() if (name := ast.unparse(node)) in NAMED:
            return NAMED[name]
        case ast.Call() if (name := ast.unparse(node.func)) in CALLED:
            keywords = {str(each.arg): evaluated(each.value) for each in node.keywords}
            return CALLED[name](*map(evaluated, node.args), **keywords)
        case ast.Tuple():
            return tuple(map(evaluated, node.elts))
        case ast.List():
            return list(map(evaluated, node.elts))
        case ast.Set():
            return set(map(evaluated, node.elts))
        case ast.Dict() if None not in node.keys:
            keys = [evaluated(key) for key in node.keys if key]
            return dict(zip(keys, map(evaluated, node.values), strict=True))
        case ast.BinOp() | ast.UnaryOp(operand=ast.Constant(value=complex())):
            # As an expression, -1j is 0 - 1j, and so (-0-1j).
            return complex(ast.unparse(node).replace(" ", ""))
    return ast.literal_eval(node)


def tokens(text: str) -> list[tuple[int, str]]:
    """Return the tokens of a literal, sorted, as a set has no order.

    Numbers and texts are there as Python would write them, unless that would be another number.
    """
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        written = token.string
        if token.type == tokenize.STRING:
            written = repr(ast.literal_eval(written))
        if token.type == tokenize.NUMBER and not is_lost(written):
            written = repr(ast.literal_eval(written))
        if token.type not in IGNORED:
            found.append((token.type, written))
    return sorted(found)


def is_lost(number: str) -> bool:
    """Whether something of a number is not there any more when it is printed: digits, say."""
    if "_" in number:
        return True
    value = ast.literal_eval(number)
    if isinstance(value, int):
        return number.isdigit() and number != repr(value)
    return Decimal(number.rstrip("jJ")) != Decimal(repr(value).rstrip("j"))
