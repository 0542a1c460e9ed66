"""A relay that is killed while everybody talks through it, and comes back clean."""

import json

import pytest

from clients.relay import Relay
from lab.stack import Stack
from lab.testing.service import FindService
from services.relay.server import PROXIES
from tests.support.pace import FAR
from tests.support.talking import check_clean, check_failed, spoil, talking

SECONDS = 3.0  # that the clients wait


@pytest.mark.usefixtures("key_in_environment")
def test_a_killed_relay_fails_its_clients_in_time_and_comes_back_clean(
    stack: Stack, service: FindService
) -> None:
    """Clients of every service get an error that says why, and once it is back, answers."""
    spoil(Relay(stack.address("relay"), FAR))
    with talking(stack.relayed(), SECONDS) as talkers:
        assert {each.service for each in talkers} == set(PROXIES)
        with service("relay").killed():  # SIGKILL; the engine is asked to start it at the end
            check_failed(talkers)
            arguments = ("clients", "--json", "--via", "relay")
            done = stack.run("run", "--rm", "--no-TTY", *arguments, capture=True)
            assert done.returncode == 1, done.stderr
            errors = {
                row["service"]: row["error"] for row in reversed(json.loads(done.stdout)["checks"])
            }
            assert set(errors) == set(PROXIES)
            for error in errors.values():
                assert error.startswith("no answer from relay:")
    check_clean(Relay(stack.address("relay"), FAR))  # on another port: the engine picks them
    with talking(stack.relayed(), SECONDS):
        pass
    done = stack.run("run", "--rm", "--no-TTY", *arguments, capture=True)
    assert done.returncode == 0, done.stdout
