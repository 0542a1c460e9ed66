"""Our REST application under gunicorn's own threads, as many as ours has.

It logs of each request what ours logs, in the same form.
"""

from services import runtime
from services.gunicorn_settings import *  # noqa: F403

wsgi_app = "services.rest.app:application"
bind = "{}:{}".format(*runtime.address(8080))
worker_class = "gthread"
access_log_format = '%(h)s "%(r)s" %(s)s %(B)s bytes %(M)s ms'
