"""The routes: the page, its forms, its stream of updates, and what can be downloaded."""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from services.console import security
from services.console.events import EventStream, TooManyStreams
from services.console.exchanges import ACTIONS, EXCHANGES, METHODS, attempt
from services.console.network import BadSetting
from services.console.rendering import identifier, prepare, render
from services.console.view import LANGUAGES, View, view_of
from services.console.watch import Watch
from services.console.wire import NoRelay, Wanted, of
from services.console.words import say
from services.wire.conversation import SERVICES, service_of
from services.wire.svg import STYLE

STATIC = Path(__file__).with_name("static")
UPDATE = "console-update"  # the header of a request that wants elements rather than a page
MAX_BODY = 16 * 1024  # bytes of a form
MAX_WAITING = 8  # who wait for their turn to try one service
MAX_SECONDS = 10.0  # until the state of the servers is told
PCAPNG = "application/x-pcapng"
Headers = Mapping[str, str] | None
TYPES = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Problem(Exception):
    """A request cannot be answered: the name of a sentence, its figures, and the status of HTTP."""

    def __init__(self, name: str, status: int, **figures: object) -> None:
        super().__init__(name)
        self.name, self.status, self.figures = name, status, figures


class Pages:
    """The requests, by their names in the routes below."""

    def __init__(self) -> None:
        self.token, self.boot = secrets.token_urlsafe(32), secrets.token_hex(8)
        prepare(token=self.token, boot=self.boot)
        self.watch = Watch(self.boot)
        self.static = {name: (STATIC / name).read_bytes() for name in TYPES}
        self.static["console.css"] += STYLE.encode()
        self.trying: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.waiting: defaultdict[str, int] = defaultdict(int)
        self.downloading = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return which request is for which method."""
        return [
            Route("/", self.page),
            Route("/wire", self.conversation),
            Route("/wire/bytes", self.bytes),
            Route("/wire.pcapng", self.file),
            Route("/events", self.events),
            Route("/try/{service}", self.attempt, methods=["POST"]),
            Route("/network/profile", self.set_profile, methods=["POST"]),
            Route("/network/toxic", self.set_toxic, methods=["POST"]),
            Route("/stack", self.stack),
            Route("/health", self.health),
            Route("/static/{name}", self.static_file),
        ]

    async def page(self, request: Request) -> Response:
        """Return the page."""
        return self._page(view_in(request))

    async def conversation(self, request: Request) -> Response:
        """Return the page with a conversation, or only that."""
        view, (proxy, connection) = view_in(request), chosen(request)
        return await self._opened(request, view, proxy, connection)

    async def bytes(self, request: Request) -> Response:
        """Return the page with a conversation and its bytes, or only those."""
        view, (proxy, connection) = view_in(request), chosen(request)
        async with self.downloading:
            dump = await run_in_threadpool(self.watch.wire.dump, proxy, connection)
        return await self._opened(request, view, proxy, connection, dump)

    async def _opened(
        self, request: Request, view: View, proxy: str, connection: int, dump: object = None
    ) -> Response:
        await self.watch.refresh()
        found = self.watch.wire.picture(proxy, connection)
        if found is None:
            raise Problem("no_conversation", 404, proxy=proxy[:40], connection=connection)
        opened = {"picture": found, "dump": dump}
        if UPDATE in request.headers:
            return HTMLResponse(render("conversation", view, opened=opened))
        return self._page(view, opened=opened)

    async def file(self, request: Request) -> Response:
        """Return what passed as a file for Wireshark; one at a time, as it takes memory."""
        view = view_in(request)
        async with self.downloading:
            if "proxy" in request.query_params:
                proxy, connection = chosen(request)
                name = f"connection-{connection}"
                wanted, known = of(proxy, connection), (proxy, connection)
            else:
                name, wanted, known = view.service or "wire", of_service(view.service), ("", 0)
            content = await run_in_threadpool(self.watch.wire.file, wanted, *known)
        headers = {"Content-Disposition": f'attachment; filename="{name}.pcapng"'}
        return Response(content, media_type=PCAPNG, headers=headers)

    async def events(self, request: Request) -> Response:
        """Return the stream of updates."""
        return EventStream(self.watch.broadcast, view_in(request))

    async def attempt(self, request: Request) -> Response:
        """Make one exchange with a service."""
        view, service = view_in(request), request.path_params["service"]
        if service not in EXCHANGES:
            raise HTTPException(404)
        form = await self._form(request)
        if self.waiting[service] >= MAX_WAITING:
            raise Problem("too_many_tries", 503, service=service)
        self.waiting[service] += 1
        try:
            async with self.trying[service]:
                outcome = await run_in_threadpool(attempt, service, form)
        finally:
            self.waiting[service] -= 1
        await self.watch.ask(self.watch.wire)
        if UPDATE in request.headers:
            return HTMLResponse(render("outcome", view, service=service, outcome=outcome))
        return self._page(view, outcomes={service: outcome}, forms={service: form})

    async def set_profile(self, request: Request) -> Response:
        """Give the network a profile."""
        form = await self._form(request)
        return await self._set(request, form, self.watch.network.set_profile)

    async def set_toxic(self, request: Request) -> Response:
        """Switch or change a toxic."""
        form = await self._form(request)
        return await self._set(request, form, self.watch.network.set_toxic)

    async def _set(
        self, request: Request, form: Mapping[str, str], change: Callable[[Mapping[str, str]], None]
    ) -> Response:
        view, network = view_in(request), self.watch.network
        try:
            await run_in_threadpool(change, form)
        except (BadSetting, NoRelay) as error:
            raise Problem("not_set", 400, problem=error) from None
        await self.watch.ask(network)
        if UPDATE not in request.headers:
            return RedirectResponse(view.url("/", "network"), HTTPStatus.SEE_OTHER)
        if proxy := form.get("proxy"):
            changed = {"active", "profiles", f"network-{identifier(proxy)}"}
        else:
            changed = {"active", "profiles", "proxies"}
        found = [each for each in network.elements(view) if each.id in changed]
        return HTMLResponse("".join(each.render() for each in found))

    async def stack(self, _: Request) -> Response:
        """Return the state of the servers."""
        await self.watch.ask_servers(MAX_SECONDS)
        return JSONResponse([server.document for server in self.watch.stack.servers])

    async def health(self, _: Request) -> Response:
        """Return that this server answers."""
        return PlainTextResponse("ok\n")

    async def static_file(self, request: Request) -> Response:
        """Return the style, the script or the icon."""
        name = request.path_params["name"]
        if name not in self.static:
            raise HTTPException(404)
        return Response(self.static[name], media_type=TYPES[name])

    def _page(
        self, view: View, status: int = 200, headers: Headers = None, **values: Any
    ) -> Response:
        """Return the whole page; `values` are what a request has added to it."""
        parts = self._parts(view, values)
        return StreamingResponse(parts, status, headers, media_type="text/html")

    async def _parts(self, view: View, values: dict[str, Any]) -> AsyncIterator[str]:
        """Yield its top, which a browser paints while the servers are asked, and then the rest."""
        yield render("top", view, languages=LANGUAGES)
        await self.watch.refresh()
        watch = self.watch
        defaults: dict[str, Any] = {"opened": None, "outcomes": {}, "forms": {}, "problem": ""}
        yield render(
            "page", view, stack=watch.stack, wire=watch.wire, network=watch.network,
            workshop=watch.workshop, rows=watch.wire.rows(view.service), services=SERVICES,
            methods=METHODS, actions=ACTIONS, **defaults | values,
        )  # fmt: skip

    async def _form(self, request: Request) -> dict[str, str]:
        """Return the fields of a form of ours; raises Problem for another one."""
        received = bytearray()
        async for chunk in request.stream():
            received += chunk
            if len(received) > MAX_BODY:
                raise Problem("too_large", 413, most=MAX_BODY)
        try:
            fields = parse_qsl(
                received.decode(), keep_blank_values=True, errors="replace", max_num_fields=20
            )
        except ValueError:
            raise Problem("no_form", 400) from None
        form = dict(fields)
        if not security.is_token(form.pop("token", ""), self.token):
            raise Problem("stale", 403)
        return form

    async def failed(self, request: Request, error: Exception) -> Response:
        """Return what is wrong as a page, or as the element that says it."""
        view = view_in(request)
        headers = error.headers if isinstance(error, HTTPException) else None  # such as Allow
        match error:
            case TooManyStreams():
                return PlainTextResponse("Too many pages are open.\n", 503, {"Retry-After": "10"})
            case NoRelay():
                error = Problem("no_relay", 502, problem=error)
            case HTTPException():
                error = Problem("no_page", error.status_code, path=request.url.path[:60])
        assert isinstance(error, Problem)  # noqa: S101 - no others are registered
        said = say(view.language, error.name, **error.figures)
        if UPDATE in request.headers:
            return HTMLResponse(render("problem", view, problem=said), error.status, headers)
        return self._page(view, error.status, headers, problem=said)


def view_in(request: Request) -> View:
    """Return the view that a request is for."""
    return view_of(request.query_params, request.headers.get("accept-language", ""))


def chosen(request: Request) -> tuple[str, int]:
    """Return the proxy and the number of the conversation that a request is for."""
    number = request.query_params.get("connection", "")
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        raise Problem("no_conversation", 404, proxy="", connection=number[:40])
    return request.query_params.get("proxy", ""), int(number)


def of_service(service: str) -> Wanted:
    """Return whether a record is of a service, or of any for ""."""
    return lambda record: service in ("", record.proxy, service_of(record.proxy))


def application() -> Starlette:
    """Return the application; raises ValueError for a bad address of a server in a setting."""
    pages = Pages()
    errors: Any = dict.fromkeys((Problem, TooManyStreams, NoRelay, HTTPException), pages.failed)
    return Starlette(routes=pages.routes(), exception_handlers=errors)
