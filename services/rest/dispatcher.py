"""A dispatcher: it finds the WSGI application for a method and a path, and calls it (PEP 3333)."""

import logging
import re
from collections.abc import Generator, Iterable, Iterator
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import unquote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from services.rest.parameters import Params, parameters
from services.rest.paths import IN_PATH, PLAIN, encoded, normalized, raw_path, unencoded
from services.rest.problems import Problem

Handler = TypeVar("Handler", bound=WSGIApplication)

log = logging.getLogger("rest")


class PathDispatcher:
    """A WSGI application that consists of others, each registered for a method and a path.

    A handler is a function `handler(environ, start_response)`, a generator function, or any other
    object that can be called so. It finds the parameters of the request in
    `environ["params"]` (name -> str, or a list of them when the name is repeated) and the
    uploaded files in `environ["files"]` (name -> list of files). HEAD and OPTIONS need no handler.
    """

    def __init__(self, max_body: int = 1024 * 1024) -> None:
        """Make a dispatcher that refuses a request body of more than `max_body` bytes."""
        self.pathmap: dict[str, dict[str, WSGIApplication]] = {}
        self.literal: dict[str, dict[str, WSGIApplication]] = {}  # by paths without parameters
        self.templates: list[tuple[re.Pattern[str], dict[str, WSGIApplication]]] = []  # the others
        self.max_body = max_body

    def register(self, method: str, path: str, function: Handler) -> Handler:
        """Have `function` answer `method` on `path`, and return it.

        `{name}` in a path stands for one segment, which becomes the parameter `name`. Of two paths
        that match, the one with fewer such segments goes first.
        """
        self.pathmap.setdefault(path, {})[method.upper()] = function
        patterns = {each: pattern(each) for each in self.pathmap}
        self.literal = {
            encoded(each): self.pathmap[each]
            for each, found in patterns.items()
            if not found.groups
        }
        self.templates = [
            (found, self.pathmap[each]) for each, found in patterns.items() if found.groups
        ]
        self.templates.sort(key=lambda template: template[0].groups)
        return function

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer the request; whatever a handler raises before its first block is a Problem."""
        try:
            blocks = self.handler(environ)(environ, start_response)
            if not isinstance(blocks, list):
                blocks = begun(blocks)
        except Problem as problem:
            blocks = problem(environ, start_response)
        except Exception:
            log.exception("%s %r", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            failure = Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed to handle the request."
            )
            blocks = failure(environ, start_response)
        return no_body(blocks) if environ["REQUEST_METHOD"] == "HEAD" else blocks

    def handler(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Return the handler of the request, after its parameters are parsed; or raise a Problem.

        The body is read only if there is a handler.
        """
        method, path = environ["REQUEST_METHOD"], raw_path(environ)
        segments: Params = {}
        literal = self.literal.get(path)
        if literal and method in literal:  # most clients encode only what has to be
            handler = literal[method]
        else:
            handler, segments = self.look_up(method, path)
            if isinstance(handler, Options):
                return handler
        params, environ["files"] = parameters(environ, self.max_body)
        params.update(segments)
        environ["params"] = params
        return handler

    def look_up(self, method: str, path: str) -> tuple[WSGIApplication, Params]:
        """Return the handler for a method and a path, and the parameters in the path.

        Without a handler, OPTIONS gets one of ours; otherwise raises a Problem.
        """
        found = self.find(path)
        for handlers, segments in found:
            name = "GET" if method == "HEAD" and "HEAD" not in handlers else method
            if name in handlers:
                return handlers[name], segments
        methods = {each for handlers, _ in found for each in handlers}
        if method == "OPTIONS" and path == "*":  # RFC 9110, 9.3.7
            methods.update(*self.pathmap.values())
        if not methods:
            raise Problem(HTTPStatus.NOT_FOUND, "There is nothing at this path.")
        if method == "OPTIONS":
            return Options(methods), {}
        raise Problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"Allowed here: {allowed(methods)}.",
            headers=[("Allow", allowed(methods))],
        )

    def find(self, path: str) -> list[tuple[dict[str, WSGIApplication], Params]]:
        """Return what matches a path: handlers by their methods, and the parameters in the path."""
        plain = PLAIN.fullmatch(path)
        if not plain:
            if IN_PATH.search(path):
                raise Problem(HTTPStatus.BAD_REQUEST, f"In the path, {unencoded(IN_PATH, path)}.")
            try:
                unquote(path, errors="strict")
            except UnicodeDecodeError:
                raise Problem(HTTPStatus.BAD_REQUEST, "The path is not UTF-8.") from None
            path = normalized(path)
        found: list[tuple[dict[str, WSGIApplication], Params]] = []
        if path in self.literal:
            found.append((self.literal[path], {}))
        for template, handlers in self.templates:
            if match := template.fullmatch(path):
                params: Params = match.groupdict()
                if not plain:
                    params = {name: unquote(value) for name, value in match.groupdict().items()}
                found.append((handlers, params))
        return found


def pattern(path: str) -> re.Pattern[str]:
    """Return the pattern of a registered path, for paths that are encoded just where need be."""
    return re.compile(
        "/".join(
            f"(?P<{segment[1:-1]}>[^/]+)"
            if re.fullmatch(r"{\w+}", segment)
            else re.escape(encoded(segment))
            for segment in path.split("/")
        )
    )


def allowed(handlers: Iterable[str]) -> str:
    """Return the value of an Allow header (RFC 9110, 10.2.1)."""
    methods = {*handlers, "OPTIONS"}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def begun(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Return the blocks of a response when the first one is there; raises what it raises.

    A generator runs, and calls `start_response`, only when it is asked for its first block. If it
    fails then, an error can still be sent.
    """
    generator = passed_on(blocks)
    next(generator)
    return generator


def passed_on(blocks: Iterable[bytes]) -> Generator[bytes, None, None]:
    """Yield an empty block once the first one is there, then all of them; close them at the end."""
    try:
        iterator = iter(blocks)
        first = next(iterator, b"")
        yield b""
        yield first
        yield from iterator
    finally:
        close(blocks)


def no_body(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Close `blocks`, and return an empty body whose length the server cannot determine.

    It would send that as Content-Length, which is wrong in a response to HEAD, and with status 204.
    """
    close(blocks)
    return iter([b""])


def close(blocks: Iterable[bytes]) -> None:
    """Close an iterable that has to be (PEP 3333)."""
    if hasattr(blocks, "close"):
        blocks.close()


class Options:
    """The WSGI application that says which methods there are (RFC 9110, 9.3.7)."""

    def __init__(self, handlers: Iterable[str]) -> None:
        self.allow = allowed(handlers)

    def __call__(self, _environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer the request."""
        start_response("204 No Content", [("Allow", self.allow)])
        return no_body([])
