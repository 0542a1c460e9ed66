"""What the servers under gunicorn have in common: its settings, and our worker."""

from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

from clients.addresses import Address
from tests.helpers import refuses_to_start, run, until
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


@pytest.mark.parametrize("service", ["rest", "kv", "httpbin"])
@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("SILENCE_TIMEOUT", "0", "has value '0'. Not a whole number from 1 up"),
        ("SILENCE_SECONDS", "1", "is not a setting any more. Set WIRELAB_SILENCE_TIMEOUT instead"),
        ("LOG", "loud", "has value 'loud'. Not one of 'info', 'debug'"),
        ("PORT", "http", "has value 'http'. Not a port number (0 to 65535)"),
    ],
)
def test_a_bad_setting_is_one_line(
    service: str, name: str, value: str, line: str, tmp_path: Path
) -> None:
    """It names the variable, and no worker is started."""
    command = ["gunicorn", "-c", f"services/{service}/gunicorn.conf.py"]
    settings = {"WIRELAB_PORT": "0", "WIRELAB_KV_FILE": str(tmp_path / "kv.sqlite3")}
    settings[f"WIRELAB_{name}"] = value
    assert refuses_to_start(command, **settings) == f"WIRELAB_{name} {line}"


def body_of(address: Address) -> str:
    """Return the body of the 503 that a server answers with."""
    with pytest.raises(HTTPError, match="503") as caught:
        urlopen(f"http://{address}/RPC2", b"")
    with caught.value as response:
        return response.read().decode()


def test_another_worker_says_that_kv_needs_its_own(tmp_path: Path) -> None:
    """The key-value store is no WSGI application, although gunicorn insists on one."""
    command = ["gunicorn", "-c", "services/kv/gunicorn.conf.py", "--worker-class=gthread"]
    with running(command, WIRELAB_KV_FILE=str(tmp_path / "kv.sqlite3")) as server:
        text = body_of(server.address)
    assert text == "kv needs its own worker: gunicorn -c services/kv/gunicorn.conf.py\n"
