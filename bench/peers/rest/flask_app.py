"""The page with Flask."""

from flask import Flask, request

from bench.peers.rest import page

application = Flask(__name__)


@application.get("/hello")
def hello() -> str:
    """Greet by name; without one Flask answers 400."""
    return page(request.args["name"])
