"""What a health check is worth: a server that hangs, or answers wrongly, does not pass it."""

import os
import signal

import pytest

from clients import health
from tests.support.drivers import DRIVERS
from tests.support.processes import running


@pytest.mark.parametrize("service", DRIVERS)
def test_a_server_that_hangs_is_not_healthy(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel still completes its TCP connections, so a bare connect would succeed."""
    default = DRIVERS[service][0]
    with running(default.command) as server:
        assert not health.problem(service, server.address)
        monkeypatch.setattr(health, "TIMEOUT", 0.3)
        os.killpg(server.process.pid, signal.SIGSTOP)
        try:
            assert health.problem(service, server.address)
        finally:
            os.killpg(server.process.pid, signal.SIGCONT)
