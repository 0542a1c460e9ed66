"""The relay's control: Toxiproxy's HTTP API, and beside it the profiles and the journal.

Browsers stay out, as any page of any site can send requests to this machine: by their User-Agent,
as in Toxiproxy, and by their Host and Origin (services/host_names.py).
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services import host_names
from services.relay import documents, metrics, profiles
from services.relay.documents import ApiError, bad_body
from services.relay.proxies import Proxies
from services.relay.proxy import Proxy
from services.relay.toxics import Toxic
from services.wire.record import to_json

VERSION = "2.12.0"  # of the Toxiproxy whose API this is: clients ask for it
MAX_BODY = 1024 * 1024  # bytes
MAX_READERS = 32  # of the journal, at the same time
BATCH = 16  # records that a reader is sent at a time
KEEP_ALIVE_SECONDS = 15.0  # after which a reader is sent something, though there is nothing new


class Api:
    """The requests, by their names in the routes below; all that they do is done at once."""

    def __init__(self, proxies: Proxies) -> None:
        self.proxies, self.journal = proxies, proxies.shared.journal
        self.readers = 0

    def routes(self) -> list[Route]:
        """Return which request is for which method."""
        proxy, toxics = "/proxies/{proxy}", "/proxies/{proxy}/toxics"
        return [
            Route("/version", self.version, methods=["GET"]),
            Route("/proxies", self.list_proxies, methods=["GET"]),
            Route("/proxies", self.create, methods=["POST"]),
            Route("/populate", self.populate, methods=["POST"]),
            Route("/reset", self.reset, methods=["POST"]),
            Route(proxy, self.show, methods=["GET"]),
            Route(proxy, self.update, methods=["POST", "PATCH"]),
            Route(proxy, self.delete, methods=["DELETE"]),
            Route(toxics, self.list_toxics, methods=["GET"]),
            Route(toxics, self.add_toxic, methods=["POST"]),
            Route(f"{toxics}/{{toxic}}", self.show_toxic, methods=["GET"]),
            Route(f"{toxics}/{{toxic}}", self.change_toxic, methods=["POST", "PATCH"]),
            Route(f"{toxics}/{{toxic}}", self.remove_toxic, methods=["DELETE"]),
            Route("/profile", self.show_profile, methods=["GET"]),
            Route("/profile", self.set_profile, methods=["POST"]),
            Route("/journal", self.read_journal, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def version(self, _: Request) -> Response:
        """Return the version."""
        return JSONResponse({"version": VERSION})

    async def list_proxies(self, _: Request) -> Response:
        """Return all proxies, by their names."""
        found = self.proxies.all()
        return JSONResponse({proxy.name: self.proxies.document(proxy) for proxy in found})

    async def create(self, request: Request) -> Response:
        """Create a proxy."""
        proxy = self.proxies.create(documents.parse(await body(request), dict))
        return JSONResponse(self.proxies.document(proxy), 201)

    async def populate(self, request: Request) -> Response:
        """Create or replace several proxies; of those before an error, none is undone."""
        try:
            found, error = self.proxies.populate(documents.parse(await body(request), list))
        except ApiError as problem:
            found, error = [], problem
        document = {"proxies": [self.proxies.document(proxy) for proxy in found]}
        if error:
            return JSONResponse({**error.document(), **document}, error.status)
        return JSONResponse(document, 201)

    async def reset(self, _: Request) -> Response:
        """Enable all proxies, and drop all toxics."""
        self.proxies.reset()
        return Response(status_code=204)

    async def show(self, request: Request) -> Response:
        """Return a proxy."""
        return JSONResponse(self.proxies.document(self._proxy(request)))

    async def update(self, request: Request) -> Response:
        """Change a proxy."""
        proxy = self._proxy(request)
        self.proxies.update(proxy, documents.parse(await body(request), dict))
        return JSONResponse(self.proxies.document(proxy))

    async def delete(self, request: Request) -> Response:
        """Remove a proxy."""
        self.proxies.delete(self._proxy(request))
        return Response(status_code=204)

    async def list_toxics(self, request: Request) -> Response:
        """Return the toxics of a proxy."""
        return JSONResponse(self.proxies.document(self._proxy(request))["toxics"])

    async def add_toxic(self, request: Request) -> Response:
        """Add a toxic to a proxy."""
        proxy = self._proxy(request)
        document = documents.parse(await body(request), dict)
        return JSONResponse(documents.of_toxic(self.proxies.add_toxic(proxy, document)))

    async def show_toxic(self, request: Request) -> Response:
        """Return a toxic."""
        _, toxic = self._toxic(request)
        return JSONResponse(documents.of_toxic(toxic))

    async def change_toxic(self, request: Request) -> Response:
        """Change attributes and toxicity of a toxic."""
        proxy, toxic = self._toxic(request)
        self.proxies.change_toxic(proxy, toxic, documents.parse(await body(request), dict))
        return JSONResponse(documents.of_toxic(toxic))

    async def remove_toxic(self, request: Request) -> Response:
        """Remove a toxic."""
        self.proxies.remove_toxic(*self._toxic(request))
        return Response(status_code=204)

    async def show_profile(self, _: Request) -> Response:
        """Return which profile the network has, and which there are."""
        return JSONResponse({
            "name": self.proxies.profile,
            "seed": self.proxies.shared.seed,
            "profiles": profiles.PROFILES,
        })  # fmt: skip

    async def set_profile(self, request: Request) -> Response:
        """Give the network, or one proxy of it, a profile instead of the toxics that there are."""
        document = documents.parse(await body(request), dict)
        if not (name := documents.take(document, "name", str, "")):
            raise documents.missing("name")
        only = documents.take(document, "proxy", str, "")
        self.proxies.reset(
            name, documents.seed_in(document), self.proxies.get(only) if only else None
        )
        return await self.show_profile(request)

    async def metrics(self, _: Request) -> Response:
        """Return what has passed."""
        text = metrics.text(self.proxies.all(), self.proxies.shared)
        return Response(text, media_type=metrics.CONTENT_TYPE)

    async def read_journal(self, request: Request) -> Response:
        """Return records as server-sent events (HTML, 9.2), and those to come unless `follow=0`."""
        number = self._number(request)
        if self.readers >= MAX_READERS:
            raise ApiError(f"{MAX_READERS} others read the journal", 503)
        follow = request.query_params.get("follow", "1") != "0"
        return StreamingResponse(
            self._events(number, follow=follow),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    def _number(self, request: Request) -> int:
        """Return from which record on: after the last that the reader has, or `from`."""
        last = request.headers.get("last-event-id", "")
        text = last or request.query_params.get("from", "")
        if not text:
            return self.journal.first
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            name = "Last-Event-ID" if last else "from"
            raise ApiError(f"{name} has value {text[:100]!r}. Not the number of a record", 400)
        return max(1, int(text) + bool(last))

    async def _events(self, number: int, *, follow: bool) -> AsyncIterator[str]:
        """Yield the events; who is too slow is told how many records it has missed."""
        self.readers += 1
        end = math.inf if follow else self.journal.next  # of traffic, there may be more and more
        try:
            while number < end:
                # A number from before the relay has started again is of another journal.
                number = min(number, self.journal.next)
                lost, records = self.journal.since(number, BATCH)
                number += lost + len(records)
                if records:
                    gone = event("lost", {"count": lost}) if lost else ""
                    found = (event("record", to_json(each), each.number) for each in records)
                    yield gone + "".join(found)
                    await asyncio.sleep(0)  # the proxies have their turn
                elif follow:
                    yield await self._added()
        finally:
            self.readers -= 1

    async def _added(self) -> str:
        """Wait for a record; return what keeps the connection alive if there is none."""
        added = asyncio.Event()
        with self.journal.telling(added.set):
            try:
                await asyncio.wait_for(added.wait(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                return ":\n\n"
            return ""

    def _proxy(self, request: Request) -> Proxy:
        return self.proxies.get(unquote(request.path_params["proxy"]))

    def _toxic(self, request: Request) -> tuple[Proxy, Toxic]:
        proxy = self._proxy(request)
        return proxy, self.proxies.toxic(proxy, unquote(request.path_params["toxic"]))


def event(kind: str, document: object, number: int | None = None) -> str:
    """Return a server-sent event."""
    name = "" if number is None else f"id: {number}\n"
    return f"{name}event: {kind}\ndata: {json.dumps(document)}\n\n"


async def body(request: Request) -> bytes:
    """Return the body of a request; raises ApiError for one that is too large."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_BODY:
            raise bad_body(f"larger than {MAX_BODY} bytes")
    return bytes(received)


async def failed(request: Request, error: Exception) -> Response:
    """Return an error as Toxiproxy does."""
    if isinstance(error, HTTPException):
        error = ApiError(error.detail.lower(), error.status_code)
    assert isinstance(error, ApiError)  # noqa: S101 - no others are registered
    headers = {"Allow": allowed(request)} if error.status == 405 else None
    return JSONResponse(error.document(), error.status, headers)


def allowed(request: Request) -> str:
    """Return the methods of a path, which a 405 has to name (RFC 9110, 15.5.6)."""
    routes = [each for each in request.app.routes if each.matches(request.scope)[0] != Match.NONE]
    return ", ".join(sorted({method for route in routes for method in route.methods}))


class NoBrowsers:
    """Refuses the requests of browsers, and those for another host."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if problem := self.problem(Request(scope)):
            await JSONResponse(problem.document(), problem.status)(scope, receive, send)
        else:
            # In a name, an encoded slash is a character: it is decoded when the path is split.
            path = scope["raw_path"].decode("ascii")
            with suppress(ClientDisconnect):  # in the middle of a body
                await self.app({**scope, "path": path}, receive, send)

    def problem(self, request: Request) -> ApiError | None:
        """Return what is wrong with a request."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if request.headers.get("user-agent", "").startswith("Mozilla/"):
            return ApiError("User agent not allowed", 403)
        if host and not host_names.is_ours(host, self.hosts):
            return ApiError(f"the relay has no name {host[:100]!r}; WIRELAB_HOSTS can add it", 421)
        if origin is not None and origin.partition("://")[2] != host:
            return ApiError(f"pages of {origin[:100]!r} may not send requests to the relay", 403)
        return None


def application(proxies: Proxies, hosts: frozenset[str]) -> ASGIApp:
    """Return the ASGI application."""
    errors: Any = {ApiError: failed, HTTPException: failed}
    app = Starlette(routes=Api(proxies).routes(), exception_handlers=errors)
    return NoBrowsers(app, hosts)
