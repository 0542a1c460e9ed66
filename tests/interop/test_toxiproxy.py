"""The clients that people have for Toxiproxy drive the relay."""

import pytest
from docker.models.containers import Container

from tests.support.engine import run_in


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(
            ("env", "PYTHONPATH=/python", "python3", "python/toxiproxy_client.py"), id="Python"
        ),
        pytest.param(("node", "node/toxiproxy.mjs"), id="JavaScript"),
    ],
)
def test_a_client_of_toxiproxy_drives_the_relay(
    machine: Container, command: tuple[str, ...]
) -> None:
    """Proxies are made, changed, disabled and removed; toxics act; errors are what it knows."""
    done = run_in(machine, *command, "relay", "8474", "tcp-echo:20000")
    assert (done.status, done.output) == (0, "ok\n")
