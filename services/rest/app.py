"""The REST service: its handlers, and the dispatcher they are registered with."""

import html
import inspect
import json
import time
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

from services.rest.accept import acceptable
from services.rest.dispatcher import PathDispatcher
from services.rest.parameters import parameter
from services.rest.representations import CSV, HTML, JSON, XML, headers, render
from services.rest.uploads import Fingerprints
from services.version import VERSION

DESCRIPTION = json.loads(Path(__file__).with_name("openapi.json").read_bytes())
DESCRIPTION["info"]["version"] = VERSION
OPENAPI = json.dumps(DESCRIPTION, indent=2).encode()

HELLO_HTML = """\
<html>
  <head>
     <title>Hello {name}</title>
   </head>
   <body>
     <h1>Hello {name}!</h1>
   </body>
</html>"""

LOCALTIME_XML = """\
<?xml version="1.0"?>
<time>
  <year>{t.tm_year}</year>
  <month>{t.tm_mon}</month>
  <day>{t.tm_mday}</day>
  <hour>{t.tm_hour}</hour>
  <minute>{t.tm_min}</minute>
  <second>{t.tm_sec}</second>
</time>"""


def hello_world(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Greet by name."""
    name = parameter(environ, "name")
    media_type = acceptable(environ, HTML, JSON, XML, CSV)
    if media_type == HTML:
        body = HELLO_HTML.format(name=html.escape(name)).encode("utf-8")
    else:
        body = render(media_type, "hello", {"name": name, "greeting": f"Hello {name}!"})
    start_response("200 OK", headers(media_type, body))
    return [body]


def localtime(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Tell the local time of the server."""
    media_type = acceptable(environ, XML, JSON, CSV, HTML)
    t = time.localtime()
    if media_type == XML:
        body = LOCALTIME_XML.format(t=t).encode("utf-8")
    else:
        fields = ("year", "month", "day", "hour", "minute", "second")
        body = render(media_type, "time", dict(zip(fields, t, strict=False)))
    start_response("200 OK", headers(media_type, body))
    return [body]


def openapi(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Describe every route (OpenAPI 3.1)."""
    media_type = acceptable(environ, JSON)
    start_response("200 OK", headers(media_type, OPENAPI))
    return [OPENAPI]


def index(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """List the routes."""
    media_type = acceptable(environ, HTML, JSON)
    routes = [
        {"method": method, "path": path, "what": (inspect.getdoc(function) or "").split("\n")[0]}
        for path, handlers in application.pathmap.items()
        for method, function in handlers.items()
    ]
    body = render(media_type, "routes", routes)
    start_response("200 OK", headers(media_type, body))
    return [body]


# Create the dispatcher and register functions
application = PathDispatcher()
application.register("GET", "/", index)
application.register("GET", "/hello", hello_world)
application.register("POST", "/hello", hello_world)
application.register("GET", "/hello/{name}", hello_world)
application.register("GET", "/localtime", localtime)
application.register("POST", "/files", Fingerprints("sha256"))
application.register("GET", "/openapi.json", openapi)
