"""The WSGI application that gunicorn insists on; kv's own worker never runs it.

A WSGI application gets one request at a time, so it could not commit the writes of many at once:
the key-value store is a worker (worker.py) and no application. This one is what another worker
would run, and it says what is wrong.
"""

from wsgiref.types import StartResponse, WSGIEnvironment

TEXT = b"kv needs its own worker: gunicorn -c services/kv/gunicorn.conf.py\n"


def application(_environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer that the server is not configured as it has to be."""
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(TEXT)))]
    start_response("503 Service Unavailable", headers)
    return [TEXT]
