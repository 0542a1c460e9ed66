"""httpbin under gunicorn: `gunicorn -c services/httpbin/gunicorn.conf.py`."""

from services import gunicorn_settings, runtime
from services.gunicorn_settings import *  # noqa: F403
from services.workers import count

wsgi_app = "httpbin:app"
bind = gunicorn_settings.bind_to(runtime.address(8081))
workers = count()
