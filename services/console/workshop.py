"""The workshop: how far each person of a class is, as they have written it into the class's kv."""

import xmlrpc.client
from collections.abc import Iterator

from clients import class_results
from clients.class_results import Class
from clients.kv import SERVICE
from services.console.events import Element
from services.console.rendering import render
from services.console.view import View
from services.wire.visible import line

EVERY = 5.0  # seconds
PATIENCE = 3.0  # seconds that the store may take for each of its answers
MAX_PROBLEM = 160  # columns


class Workshop:
    """The class, if `WIRELAB_CLASS` says where it is; ValueError if that is no URL of a store."""

    every = EVERY

    def __init__(self) -> None:
        self.address = class_results.server()
        self.problem = ""
        self.found = Class({})

    def poll(self) -> None:
        """Read what all have reached."""
        if self.address is None:
            return
        try:
            self.found = class_results.read(self.address, PATIENCE)
            self.problem = ""
        except (OSError, AssertionError, ValueError, xmlrpc.client.Error) as error:
            said = f"{SERVICE} at {self.address}: {error or type(error).__name__}"
            self.problem = line(said, MAX_PROBLEM)

    @property
    def lessons(self) -> list[int]:
        """The lessons that somebody has begun."""
        return sorted({lesson for reached in self.found.people.values() for lesson in reached})

    def elements(self, view: View) -> Iterator[Element]:
        """Yield the table."""
        if self.address is not None:
            yield Element("class", lambda: render("class", view, workshop=self))
