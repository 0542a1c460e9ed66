"""The page with Flask."""

from flask import Flask, request

from bench.peers.rest import page

application = Flask(__name__)


@application.get("/hello")
@application.get("/hello/<name>")
def hello(name: str = "") -> str:
    """Greet by name; without one Flask answers 400."""
    return page(name or request.args["name"])
