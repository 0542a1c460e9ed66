"""Our REST application under gunicorn's own threads, as many as ours has."""

from services import runtime
from services.gunicorn_settings import *  # noqa: F403

wsgi_app = "services.rest.app:application"
bind = "{}:{}".format(*runtime.address(8080))
worker_class = "gthread"
