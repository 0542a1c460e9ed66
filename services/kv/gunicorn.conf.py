"""How gunicorn runs the key-value store: one process, as many calls at once as it has threads."""

import sqlite3
from pathlib import Path
from typing import Any

from services import runtime
from services.kv.app import database_file
from services.kv.store import Store

wsgi_app = "services.kv.app:application()"
bind = "{}:{}".format(*runtime.address(15000))
worker_class = "gthread"
threads = 16
keepalive = 60  # seconds; ServerProxy uses one connection for all of its calls
graceful_timeout = 1  # seconds that an idle connection can hold up a stop
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
accesslog = "-"


def on_starting(_server: Any) -> None:
    """Fail before a worker is started if the store cannot be opened."""
    try:
        Store(database_file()).close()
    except sqlite3.Error as error:
        raise runtime.SettingError(
            f"WIRELAB_KV_FILE has value {str(database_file())!r}. Not a database: {error}"
        ) from None
