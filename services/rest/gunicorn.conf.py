"""The REST service under gunicorn: `gunicorn -c services/rest/gunicorn.conf.py`."""

from services import gunicorn_settings, runtime
from services.gunicorn_settings import *  # noqa: F403
from services.workers import count

wsgi_app = "services.rest.app:application"
worker_class = "services.rest.worker.Worker"
bind = gunicorn_settings.bind_to(runtime.address(8080))
workers = count()
