"""The worker of rest: it runs the application for all clients but the pages of other sites."""

from services.http import browsers, wsgi


class Worker(browsers.Worker, wsgi.Worker):
    """Checks the head of a request before its body is received, and then has a thread run it."""
