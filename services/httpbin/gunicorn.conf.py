"""httpbin under gunicorn: `gunicorn -c services/httpbin/gunicorn.conf.py`."""

from services import runtime
from services.gunicorn_settings import *  # noqa: F403
from services.workers import count

wsgi_app = "httpbin:app"
bind = "{}:{}".format(*runtime.address(8081))
workers = count()
