"""A dispatcher: it finds the WSGI application for a method and a path, and calls it (PEP 3333)."""

import logging
import re
from collections.abc import Generator, Iterable, Iterator
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import unquote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from services.rest.parameters import Params, parameters
from services.rest.paths import IN_PATH, encoded, normalized, raw_path, unencoded
from services.rest.problems import Problem

Segments = list[tuple[str, str]]  # what each has to be, or the name of the parameter that it is
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
        self.templates: list[tuple[str, Segments]] = []  # the others
        self.max_body = max_body

    def register(self, method: str, path: str, function: Handler) -> Handler:
        """Have `function` answer `method` on `path`, and return it.

        `{name}` in a path stands for one segment, which becomes the parameter `name`. Of two paths
        that match, the one with fewer such segments goes first.
        """
        self.pathmap.setdefault(path, {})[method.upper()] = function
        split = {each: segments_of(each) for each in self.pathmap}
        parameters = {each: sum(bool(name) for _, name in split[each]) for each in split}
        self.literal = {encoded(each): self.pathmap[each] for each in split if not parameters[each]}
        self.templates = [(each, split[each]) for each in split if parameters[each]]
        self.templates.sort(key=lambda template: parameters[template[0]])
        return function

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer the request; whatever a handler raises before its first block is a Problem."""
        try:
            blocks = begun(self.handler(environ)(environ, start_response))
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
        literal = self.literal.get(path)
        if literal and method in literal:  # most clients encode only what has to be
            return self.prepared(literal[method], environ, {})
        methods: set[str] = set()
        for handlers, segments in self.find(path):
            name = "GET" if method == "HEAD" and "HEAD" not in handlers else method
            if name in handlers:
                return self.prepared(handlers[name], environ, segments)
            methods.update(handlers)
        if method == "OPTIONS" and path == "*":  # RFC 9110, 9.3.7
            methods.update(*self.pathmap.values())
        if not methods:
            raise Problem(HTTPStatus.NOT_FOUND, "There is nothing at this path.")
        if method == "OPTIONS":
            return Options(methods)
        raise Problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"Allowed here: {allowed(methods)}.",
            headers=[("Allow", allowed(methods))],
        )

    def prepared(
        self, handler: WSGIApplication, environ: WSGIEnvironment, segments: Params
    ) -> WSGIApplication:
        """Return `handler` when its parameters are in `environ`; those in the path go first."""
        params, environ["files"] = parameters(environ, self.max_body)
        environ["params"] = {**params, **segments}
        return handler

    def find(self, path: str) -> Iterator[tuple[dict[str, WSGIApplication], Params]]:
        """Yield what matches a path: handlers by their methods, and the parameters in the path."""
        if fault := unencoded(IN_PATH, path):
            raise Problem(HTTPStatus.BAD_REQUEST, f"In the path, {fault}.")
        segments = path.split("/")
        if "%" in path:
            try:
                segments = [unquote(segment, errors="strict") for segment in segments]
            except UnicodeDecodeError:
                raise Problem(HTTPStatus.BAD_REQUEST, "The path is not UTF-8.") from None
        if handlers := self.literal.get(normalized(path)):
            yield handlers, {}
        for template, expected in self.templates:
            if (params := match(expected, segments)) is not None:
                yield self.pathmap[template], params


def segments_of(template: str) -> Segments:
    """Split a path to register at its slashes; of a segment like `{name}` the name counts."""
    return [
        ("", segment[1:-1]) if re.fullmatch(r"{\w+}", segment) else (segment, "")
        for segment in template.split("/")
    ]


def match(template: Segments, segments: list[str]) -> Params | None:
    """Return the parameters in a path, of decoded segments, if it is as the template says."""
    if len(template) != len(segments):
        return None
    params: Params = {}
    for (expected, name), segment in zip(template, segments, strict=True):
        if name and segment:
            params[name] = segment
        elif name or expected != segment:
            return None
    return params


def allowed(handlers: Iterable[str]) -> str:
    """Return the value of an Allow header (RFC 9110, 10.2.1)."""
    methods = {*handlers, "OPTIONS"}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def begun(blocks: Iterable[bytes]) -> Iterable[bytes]:
    """Return the blocks of a response when the first one is there; raises what it raises.

    A generator runs, and calls `start_response`, only when it is asked for its first block. If it
    fails then, an error can still be sent.
    """
    if isinstance(blocks, list):
        return blocks
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

    It would send that as Content-Length, which is wrong in a response to HEAD.
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
        return []
