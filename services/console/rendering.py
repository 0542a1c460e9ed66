"""HTML out of templates: whatever is put into one is escaped, unless it is HTML already."""

import hashlib
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.console.view import View
from services.console.words import say

TEMPLATES = Path(__file__).with_name("templates")
ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


def clock(time: float) -> str:
    """Return the time of day, as the diagrams have it."""
    return f"{datetime.fromtimestamp(time, UTC):%H:%M:%S} UTC"


def identifier(name: str) -> str:
    """Return a name as a part of an id: itself, or what is made of one that cannot be one."""
    if re.fullmatch(r"[a-z0-9-]{1,40}", name):
        return name
    return f"x{hashlib.blake2b(name.encode(), digest_size=6).hexdigest()}"


ENVIRONMENT.filters |= {"clock": clock, "identifier": identifier}


def render(name: str, view: View, **values: Any) -> str:
    """Return what the template `name` makes of a view and these values."""
    template = ENVIRONMENT.get_template(f"{name}.html")
    return template.render(view=view, say=partial(say, view.language), **values)


def prepare(**shared: str) -> None:
    """Compile all templates, so that the first page need not wait; `shared` is for all of them."""
    ENVIRONMENT.globals.update(shared)
    for name in ENVIRONMENT.list_templates():
        ENVIRONMENT.get_template(name)
