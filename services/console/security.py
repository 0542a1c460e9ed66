"""Who may ask the console for what: it has no accounts, and obeys only its own pages.

A page of any site can have a browser send requests to 127.0.0.1, and whoever owns a domain can have
its name resolve to 127.0.0.1 (DNS rebinding: so mitmproxy's console was read, CVE-2018-14505). So
the header Host has to be a name of ours. A browser says where a request comes from, in
Sec-Fetch-Site (W3C, Fetch Metadata) or in Origin (RFC 6454, 7): what changes something has to come
from a page of ours, and to carry the token that only a page of ours can read.
"""

import hmac
from collections.abc import Mapping
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services import host_names

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
FOREIGN = ("cross-site", "same-site")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: with it, a form is sent with `Origin: null` (Fetch, 3.2).
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request is not answered; `status` is that of HTTP."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Guard:
    """Lets through what may be asked, and adds the headers that bind the browser."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self.app
        try:
            check(scope["method"], Headers(scope=scope), self.hosts)
        except Refused as refused:
            app = PlainTextResponse(f"{refused}\n", refused.status)
        with suppress(ClientDisconnect):  # in the middle of a body
            await app(scope, receive, with_headers)


def check(method: str, headers: Mapping[str, str], hosts: frozenset[str]) -> None:
    """Raise Refused for a request to a foreign Host, or from a page of another site.

    A link on such a page may lead here, but nothing of ours can be embedded there.
    """
    host, site = headers.get("host", ""), headers.get("sec-fetch-site", "")
    if not host_names.is_ours(host, hosts):
        raise Refused(
            f"The console has no name {host[:100]!r}; the setting WIRELAB_HOSTS can give it one.",
            421,
        )
    if method in SAFE_METHODS:
        if site in FOREIGN and headers.get("sec-fetch-dest") != "document":
            raise Refused("Pages of other sites may not use the console.", 403)
        return
    origin = headers.get("origin", "")
    if origin and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
        raise Refused(f"Pages of {origin[:100]!r} may not use the console.", 403)
    if site != "same-origin" and (site or not origin):
        raise Refused("This request does not come from a page of the console.", 403)


def is_token(given: str, token: str) -> bool:
    """Whether the token of a form is that of this process."""
    return hmac.compare_digest(given.encode(), token.encode())
