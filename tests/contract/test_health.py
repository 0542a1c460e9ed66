"""What a health check is worth: a server that hangs, or answers wrongly, does not pass it."""

import os
import signal
from pathlib import Path

import pytest

from clients import health
from clients.addresses import PORTS
from scripts.stack import services
from tests.processes import running

COMMANDS = {service.name: service.command for service in services({})}


@pytest.mark.parametrize("service", PORTS)
def test_a_server_that_hangs_is_not_healthy(
    service: str, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel still completes its TCP connections, so a bare connect would succeed."""
    assert key_file.exists()
    monkeypatch.setattr(health, "TIMEOUT", 0.3)
    with running(COMMANDS[service], WIRELAB_KV_FILE=str(tmp_path / "kv.sqlite3")) as server:
        os.killpg(server.process.pid, signal.SIGSTOP)
        try:
            assert health.problem(service, server.address)
        finally:
            os.killpg(server.process.pid, signal.SIGCONT)
