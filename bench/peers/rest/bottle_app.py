"""The page with bottle."""

from bottle import Bottle, abort, request

from bench.peers.rest import page

application = Bottle()


@application.get("/hello")
def hello() -> str:
    """Greet by name."""
    name = request.query.getunicode("name") or abort(400, "The parameter 'name' is missing.")
    return page(name)
