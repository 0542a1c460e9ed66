"""What the WSGI servers have in common: gunicorn's settings."""

import pytest

from tests.helpers import run


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
    assert (found["threads"], found["keepalive"]) == (
        ("1", "60") if service == "kv" else ("8", "5")
    )
