"""Values typed on a command line."""

import ast
from typing import Any


def literal(text: str) -> Any:
    """Return `text` read as a Python literal (42, [1, 2], None), or as it is if it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
