"""Keeps the pages of other sites out: a server without accounts obeys every browser near it.

A page of any site can have a browser send requests to 127.0.0.1. The page does not get to read the
responses, and the browser says where it is from in the header Origin (RFC 6454, 7). But whoever
owns a domain can have its name resolve to 127.0.0.1 (DNS rebinding). For the browser the page and
this server are one site then, and only the header Host shows which name it was.
"""

from collections.abc import Mapping

from services import host_names, runtime
from services.http import worker
from services.http.request import HTTPError, Request


class Worker(worker.Worker):
    """A worker that accepts no requests from the pages of other sites."""

    hosts: frozenset[str] = frozenset()  # its names, beside its addresses and localhost

    @classmethod
    def setup(cls) -> None:
        """Read the settings."""
        super().setup()
        cls.hosts = runtime.setting("WIRELAB_HOSTS", "", host_names.parse)

    def admit(self, request: Request) -> None:
        """Raise HTTPError for a foreign Host or Origin."""
        check(request.headers, self.hosts)


def check(headers: Mapping[str, str], hosts: frozenset[str]) -> None:
    """Raise HTTPError if Host is not a name of this server, or Origin is not what Host says.

    HTTP/1.0 has no Host, and only browsers send an Origin.
    """
    host = headers.get("host", "")
    if host and not host_names.is_ours(host, hosts):
        raise HTTPError(
            f"This server has no name {host[:100]!r}; the setting WIRELAB_HOSTS can give it one.",
            "421 Misdirected Request",
        )
    if (origin := headers.get("origin")) is None:
        return
    scheme, _, site = origin.lower().partition("://")  # https if a proxy with TLS is in front
    if scheme not in ("http", "https") or not site or site != host.lower():
        raise HTTPError(
            f"Pages of {origin[:100]!r} may not send requests to this server.", "403 Forbidden"
        )
