"""The key-value store under gunicorn: `gunicorn -c services/kv/gunicorn.conf.py`."""

import sqlite3
from typing import Any

from services import gunicorn_settings, runtime
from services.gunicorn_settings import *  # noqa: F403
from services.kv.app import database_file, open_store

wsgi_app = "services.kv.wsgi:application"  # which is not run: see there
worker_class = "services.kv.worker.Worker"
bind = gunicorn_settings.bind_to(runtime.address(15000))
threads = 1
keepalive = 60  # seconds; a ServerProxy makes all of its calls on one connection


def on_starting(server: Any) -> None:  # type: ignore[no-redef]  # it replaces the imported one
    """Fail before a worker is started if the store cannot be opened.

    Whether etcd answers is another matter: it may, later on, and the calls say so until then.
    """
    gunicorn_settings.on_starting(server)
    try:
        open_store().close()
    except sqlite3.Error as error:
        raise runtime.SettingError(
            f"WIRELAB_KV_FILE has value {str(database_file())!r}. Not a database: {error}"
        ) from None
