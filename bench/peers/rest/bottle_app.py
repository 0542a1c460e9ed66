"""The page with bottle."""

from bottle import Bottle, abort, request

from bench.peers.rest import page

application = Bottle()


@application.get("/hello")
@application.get("/hello/<name>")
def hello(name: str | None = None) -> str:
    """Greet by name."""
    name = name or request.query.getunicode("name")
    return page(name or abort(400, "The parameter 'name' is missing."))
