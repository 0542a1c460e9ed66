"""The page from a bare WSGI function: what is left of ours without its dispatcher."""

from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

from bench.peers.rest import page


def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Greet by name, whatever the method."""
    if query := environ["QUERY_STRING"]:
        (name,) = parse_qs(query)["name"]
    else:
        name = environ["PATH_INFO"].rpartition("/")[2].encode("latin-1").decode()
    body = page(name).encode()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Vary", "Accept"),
    ]
    start_response("200 OK", headers)
    return [body]
