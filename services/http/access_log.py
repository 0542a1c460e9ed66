"""gunicorn's log, with a line for each request at half of its usual price."""

from datetime import timedelta
from typing import Any
from wsgiref.types import WSGIEnvironment

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

MILLISECOND = timedelta(milliseconds=1)


class AccessLog(Logger):  # type: ignore[misc]
    """Makes what our `access_log_format` names, and nothing else.

    gunicorn's own makes all that any format could name, each header and each variable of the
    environment included: that took a sixth of the processor time of a request.
    """

    def access(
        self, resp: Any, _req: Any, environ: WSGIEnvironment, request_time: timedelta
    ) -> None:
        """Log a request: from where, its first line, and the answer's status, size and time."""
        line = f"{environ['REQUEST_METHOD']} {environ['RAW_URI']} {environ['SERVER_PROTOCOL']}"
        values = {
            "h": environ["REMOTE_ADDR"],
            "r": line.replace('"', r"\""),
            "s": resp.status and resp.status[:3],
            "b": resp.sent,
            "M": request_time // MILLISECOND,
        }
        self.access_log.info(self.cfg.access_log_format, values)
