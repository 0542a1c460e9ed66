"""The console: the page that shows the lab, asked by a program rather than a browser."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from clients.addresses import PORTS, Address
from clients.checks import Check, expect
from clients.http.errors import os_errors, parsed_json, shape_errors

if TYPE_CHECKING:
    import argparse

    from clients.client import Ask

SERVICE = "console"
HEALTHY = b"ok\n"


class Answer(NamedTuple):
    """The status and the body of an answer."""

    status: int
    body: bytes


def ask(
    address: Address,
    path: str,
    form: dict[str, str] | None = None,
    timeout: float = 5.0,
    **headers: str,
) -> Answer:
    """Send a GET, or a POST with the fields of a form; raises OSError where there is no answer."""
    body = None if form is None else urlencode(form)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if form is not None:
        given["Content-Type"] = "application/x-www-form-urlencoded"
    with closing(HTTPConnection(*address, timeout=timeout)) as connection:
        connection.request("GET" if form is None else "POST", path, body, given)
        with os_errors():
            response = connection.getresponse()
            return Answer(response.status, response.read())


def stack(address: Address, timeout: float = 15.0) -> list[dict[str, Any]]:
    """Return how each server does, as the console has just found."""
    answer = ask(address, "/stack", timeout=timeout)
    expect("the status of /stack", answer.status, 200)
    found: list[dict[str, Any]] = parsed_json(answer.body)
    return found


@contextmanager
def conversation(address: Address, timeout: float) -> "Iterator[Ask]":
    """Lend a function that asks whether it is there, whatever the word."""
    yield lambda _word: health(address, timeout)


def health(address: Address, timeout: float) -> None:
    """Have it say that it is there."""
    expect("the answer", ask(address, "/health", timeout=timeout), Answer(200, HEALTHY))


def check_page(address: Address) -> None:
    """Hold the page to a box for each server."""
    answer = ask(address, "/")
    expect("the status", answer.status, 200)
    page = answer.body.decode()
    missing = [name for name in PORTS if name != SERVICE and f'id="service-{name}"' not in page]
    expect("servers without a box", missing, [])


def check_stack(address: Address) -> None:
    """Hold it to knowing how each server does: not to that being well."""
    unknown = [server["name"] for server in stack(address) if server["state"] == "unknown"]
    expect("servers that it has not asked", unknown, [])


def check_other_sites(address: Address) -> None:
    """Hold it to refusing another name, and a form of another site."""
    expect("a foreign Host", ask(address, "/", Host="lab.example.net").status, 421)
    form = {"profile": "clean"}
    answer = ask(address, "/network/profile", form, Origin="http://lab.example.net")
    expect("a foreign Origin", answer.status, 403)


CHECKS = (
    Check("its page shows each server", check_page),
    Check("knows how each server does", check_stack),
    Check("refuses what comes from other sites", check_other_sites),
)


def configure(parser: "argparse.ArgumentParser") -> None:
    """Describe the subcommand's arguments."""
    parser.epilog = (
        "try:\n  clients console    each server: its state, and how fast it has answered"
    )


def command(options: "argparse.Namespace", address: Address) -> None:
    """Print how each server does."""
    with shape_errors():
        for server in stack(address, max(options.timeout, 1.0)):
            latency = server["latency"]
            took = "" if latency is None else f"{1000 * latency:.1f} ms"
            print(f"{server['name']:24} {server['state']:8} {took}{server['problem']}")
