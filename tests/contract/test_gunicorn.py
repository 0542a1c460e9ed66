"""What the WSGI servers have in common: gunicorn's settings."""

from pathlib import Path

import psutil
import pytest

from tests.helpers import run, until
from tests.processes import running


@pytest.mark.parametrize("service", ["rest", "kv", "httpbin"])
def test_its_settings_are_those_meant(
    service: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Gunicorn itself prints what it makes of the configuration."""
    file = tmp_path_factory.mktemp("kv") / "kv.sqlite3"
    done = run(
        ["gunicorn", "-c", f"services/{service}/gunicorn.conf.py", "--print-config"],
        WIRELAB_KV_FILE=str(file),
    )
    lines = (line.partition("=") for line in done.stdout.splitlines())
    found = {name.strip(): value.strip() for name, _, value in lines}
    assert found["control_socket_disable"] == "True"
    assert found["worker_tmp_dir"] == "/dev/shm"  # noqa: S108
    assert found["forwarded_allow_ips"] in ("[]", "")
    assert (found["workers"], found["graceful_timeout"]) == ("1", "1")
    assert found["worker_connections"] == "10000"
    assert (found["threads"], found["keepalive"]) == (
        ("1", "60") if service == "kv" else ("8", "5")
    )


@pytest.mark.parametrize("service", ["rest", "kv", "httpbin"])
def test_nobody_serves_without_gunicorn(service: str, tmp_path: Path) -> None:
    """Its worker would keep the port from the next one if it went on after gunicorn was killed."""
    command = ["gunicorn", "-c", f"services/{service}/gunicorn.conf.py"]
    with running(command, WIRELAB_KV_FILE=str(tmp_path / "kv.sqlite3")) as server:
        (worker,) = until(psutil.Process(server.process.pid).children)
        server.process.kill()
        until(lambda: not worker.is_running())
