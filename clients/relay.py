"""The relay: what passes between clients and servers, and what is to be done to it.

Its control is Toxiproxy's HTTP API, and beside that the profiles and the journal.
"""

import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from io import BufferedReader
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from clients.addresses import PORTS, Address, through_relay
from clients.checks import Check, expect
from clients.http.errors import Incomplete, check_complete, os_errors, parsed_json, shape_errors
from services import addresses
from services.wire.record import Record, from_json
from services.wire.visible import visible

if TYPE_CHECKING:
    import argparse

    from clients.client import Ask

SERVICE = "relay"
VERSION = "2.12.0"  # of the Toxiproxy whose API it is

EVENTS = "text/event-stream"  # HTML, 9.2
WAYS = {"upstream": "to the server", "downstream": "to the client"}

Document = dict[str, Any]
# One fault: proxy, connection, stream, offset, toxic, draw, and what was done.
Fault = tuple[str, int, str, int, str, float | None, str]


class RelayError(Exception):
    """The relay refuses a request; `status` is the one of HTTP."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Relay:
    """The control of a relay. Each request has a connection of its own, and `timeout` seconds.

    Methods raise RelayError where the relay refuses, and OSError where it cannot be reached.
    """

    def __init__(self, address: Address, timeout: float = 5.0) -> None:
        self.address, self.timeout = address, timeout

    def request(self, method: str, path: str, document: object = None) -> Any:
        """Make a request, and return the JSON document of the answer; None if it has none."""
        with self._answer(method, path, document) as response:
            body = response.read()
            check_complete(response.length, chunked=response.chunked, came=body != b"")
        return parsed_json(body) if body else None

    def version(self) -> str:
        """Return the version of the Toxiproxy that it stands for."""
        return str(self.request("GET", "/version")["version"])

    def proxies(self) -> dict[str, Document]:
        """Return all proxies by their names, each with its toxics."""
        found: dict[str, Document] = self.request("GET", "/proxies")
        return found

    def proxy(self, name: str) -> Document:
        """Return a proxy."""
        found: Document = self.request("GET", path("proxies", name))
        return found

    def listening(self, name: str) -> Address:
        """Return where a proxy listens."""
        return Address(*addresses.split(self.proxy(name)["listen"]))

    def create(self, name: str, upstream: str, listen: str = "", **more: object) -> Document:
        """Create a proxy; `more` are protocol, seed, enabled and toxics."""
        document = {"name": name, "upstream": upstream, "listen": listen, **more}
        made: Document = self.request("POST", "/proxies", document)
        return made

    def update(self, name: str, **fields: object) -> Document:
        """Change listen, upstream, enabled or seed of a proxy."""
        changed: Document = self.request("PATCH", path("proxies", name), fields)
        return changed

    def delete(self, name: str) -> None:
        """Remove a proxy."""
        self.request("DELETE", path("proxies", name))

    def populate(self, proxies: list[Document]) -> list[Document]:
        """Create proxies, or replace those of the same name."""
        made: list[Document] = self.request("POST", "/populate", proxies)["proxies"]
        return made

    def reset(self) -> None:
        """Enable all proxies, and remove all toxics."""
        self.request("POST", "/reset", {})

    def add_toxic(
        self, proxy: str, kind: str, stream: str = "downstream", *, name: str = "",
        toxicity: float = 1.0, seed: int | None = None, **attributes: float,
    ) -> Document:  # fmt: skip
        """Add a toxic of this kind."""
        document = {"name": name, "type": kind, "stream": stream, "toxicity": toxicity,
                    "seed": seed, "attributes": attributes}  # fmt: skip
        made: Document = self.request("POST", path("proxies", proxy, "toxics"), document)
        return made

    def change_toxic(self, proxy: str, toxic: str, **attributes: float) -> Document:
        """Change attributes of a toxic."""
        place = path("proxies", proxy, "toxics", toxic)
        changed: Document = self.request("PATCH", place, {"attributes": attributes})
        return changed

    def remove_toxic(self, proxy: str, toxic: str) -> None:
        """Remove a toxic; what waits in it goes on."""
        self.request("DELETE", path("proxies", proxy, "toxics", toxic))

    def profile(self) -> Document:
        """Return the name of the network's profile, the seed, and all profiles."""
        found: Document = self.request("GET", "/profile")
        return found

    def set_profile(self, name: str, seed: int | None = None, proxy: str = "") -> Document:
        """Give the network, or one proxy, a profile instead of the toxics that there are."""
        document = {"name": name, "seed": seed, "proxy": proxy}
        set_: Document = self.request("POST", "/profile", document)
        return set_

    def metrics(self) -> dict[str, float]:
        """Return all metrics by their names, with their labels as Prometheus' text has them."""
        with self._answer("GET", "/metrics") as response:
            lines = response.read().decode().split("\n")[:-1]  # names may have other line ends
        words = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return {name: float(value) for name, _, value in words}

    def journal(self, number: int = 0, *, follow: bool = False) -> Generator[Record, None, None]:
        """Yield the records that are there from `number` on, and then those to come if told so.

        Those that are there no more are left out: their numbers are missing.
        """
        query = f"/journal?from={number}&follow={follow:d}"
        with self._answer("GET", query) as response:
            if (kind := response.headers.get_content_type()) != EVENTS:
                raise ConnectionError(f"the journal is {EVENTS}, not {kind}")
            # A response reads lines as they come, and takes the end of any chunk for its own where
            # the connection breaks; a BufferedReader fills its buffer, and that fails there.
            for event, data in events(response if follow else BufferedReader(response)):
                if event == "record":
                    with shape_errors(ValueError):
                        record = from_json(json.loads(data))
                    yield record
            if not response.chunked and response.length != 0:
                raise Incomplete("the answer is incomplete: the journal breaks off")

    @contextmanager
    def _answer(self, method: str, path: str, document: object = None) -> Iterator[HTTPResponse]:
        body = None if document is None else json.dumps(document)
        headers = {} if body is None else {"Content-Type": "application/json"}
        with (
            os_errors(),  # also what the caller reads
            closing(HTTPConnection(*self.address, timeout=self.timeout)) as connection,
        ):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise RelayError(error_in(response.read()), response.status)
            yield response


def path(*names: str) -> str:
    """Return a path of these names."""
    return "".join(f"/{quote(name, safe='')}" for name in names)


def error_in(body: bytes) -> str:
    """Return the text of an error."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, TypeError, KeyError):
        return visible(body[:200].decode(errors="replace"))


def events(lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yield the server-sent events of a stream, each with its type and data (HTML, 9.2.6)."""
    kind, data = "message", ""
    for line in lines:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            kind = value
        elif field == "data":
            data += value
        elif not field and data:
            yield kind, data
            kind, data = "message", ""


def faults(records: Iterable[Record]) -> list[Fault]:
    """Return what toxics have done, as two runs of the same traffic with the same seed have it.

    A fault that goes on is one fault: it has the offset at which it began. Where the bytes of a TCP
    stream were divided as they arrived is chance, and no part of it.
    """
    found: list[Fault] = []
    last: dict[tuple[object, ...], tuple[object, ...]] = {}
    for record in records:
        for action in record.actions:
            what = (action.draw, action.what)
            where = (record.proxy, record.connection, record.stream, action.toxic)
            if record.protocol == "udp" or last.get(where) != what:
                last[where] = what
                found.append((
                    record.proxy, record.connection, record.stream, record.offset,
                    action.toxic, *what,
                ))  # fmt: skip
    return sorted(found, key=lambda fault: fault[:4])


@contextmanager
def conversation(address: Address, timeout: float) -> "Iterator[Ask]":
    """Lend a function that asks for the version, whatever the word."""
    relay = Relay(address, timeout)
    yield lambda _word: expect("the version", relay.version(), VERSION)


def health(address: Address, timeout: float = 2.0) -> None:
    """Have the control tell its version."""
    expect("the version", Relay(address, timeout).version(), VERSION)


def check_proxies(address: Address) -> None:
    """Hold the relay to a proxy for each service, all of them enabled."""
    proxies = Relay(address).proxies()
    missing = {"tcp-echo", "udp-time", "rest", "kv", "object-echo", "rpc", "httpbin"} - set(proxies)
    expect("services without a proxy", missing, set())
    disabled = [name for name, proxy in proxies.items() if not proxy["enabled"]]
    expect("proxies that are disabled", disabled, [])


def check_journal(address: Address) -> None:
    """Hold the journal to records that are numbered in order."""
    numbers = [record.number for record in Relay(address).journal()]
    expect("the numbers are in order", numbers == sorted(set(numbers)), True)


CHECKS = (
    Check("its control has Toxiproxy's API", health),
    Check("each service has a proxy", check_proxies),
    Check("its journal can be read", check_journal),
)


def configure(parser: "argparse.ArgumentParser") -> None:
    """Describe the subcommand's arguments."""
    from clients.cli.options import number_from

    parser.epilog = (
        "try:\n"
        "  clients relay                    where each proxy listens, and what it does\n"
        "  clients relay lossy --seed 7     one packet of ten is lost, each time the same ones\n"
        "  clients relay 3g --service rest  for one service, and the others stay as they are\n"
        "  clients relay clean              and all is well again"
    )
    parser.add_argument("profile", nargs="?", help="3g, satellite, lossy, cut or clean")
    parser.add_argument("--seed", type=number_from(0, 2**31), help="of what is left to chance")
    parser.add_argument("--service", metavar="NAME", help="for this one only")


def command(options: "argparse.Namespace", address: Address) -> None:
    """Give the network the profile, if there is one; then print what there is."""
    with shape_errors():
        for line in carried_out(options, Relay(address, options.timeout)):
            print(visible(line))  # of names that anybody may have given, none moves the cursor


def carried_out(options: "argparse.Namespace", relay: Relay) -> Iterator[str]:
    """Give the network the profile, if there is one; then yield lines on what there is."""
    try:
        profile, proxies = relay.profile(), relay.proxies()
        check_known("profile", options.profile, profile["profiles"])
        check_known("service", options.service, proxies)
        if options.profile:
            profile = relay.set_profile(options.profile, options.seed, options.service or "")
            proxies = relay.proxies()
        elif options.seed is not None:
            known = ", ".join(profile["profiles"])
            raise ValueError(f"the seed {options.seed} is for a profile: {known}")
    except RelayError as error:
        raise ValueError(error) from None
    if options.service:  # of which the network's profile says nothing
        yield from described(proxies[options.service], profile["seed"])
        return
    own = any(proxy["seed"] is not None for proxy in proxies.values())
    others = ", where a service has none of its own" if own else ""
    yield f"profile {profile['name']}, seed {profile['seed']}{others}"
    for name in sorted(proxies):
        yield from described(proxies[name])


def check_known(what: str, asked: str | None, known: Iterable[str]) -> None:
    """Raise ValueError, which lists what is known, for a name that is not."""
    if asked and asked not in (names := list(known)):
        raise ValueError(f"no {what} {asked!r}; there are {visible(', '.join(names))}")


def described(proxy: Document, default_seed: int | None = None) -> Iterator[str]:
    """Yield lines on a proxy: where clients reach it, where it leads, and what its toxics do.

    Its seed is shown if it has one of its own or there is a default.
    """
    state = "" if proxy["enabled"] else ", disabled"
    seed = seed_shown(proxy, default_seed)
    protocol = proxy["protocol"].upper()
    name = proxy["name"]
    # It listens on all addresses of its container; one that somebody has added is nowhere else.
    where = through_relay(name) if name in PORTS else proxy["listen"]
    yield f"{name:12} {protocol} {where} → {proxy['upstream']}{state}{seed}"
    streams: dict[str, list[str]] = {}
    for toxic in proxy["toxics"]:
        values = ", ".join(f"{key} {value:g}" for key, value in toxic["attributes"].items())
        share = "" if toxic["toxicity"] == 1 else f", on {toxic['toxicity']:.0%} of connections"
        text = f"{toxic['type']} ({values})" if values else str(toxic["type"])
        text += f"{share}{seed_shown(toxic)}"
        streams.setdefault(text, []).append(WAYS[toxic["stream"]])
    for text, ways in streams.items():
        yield f"{'':12}   {'both ways' if len(set(ways)) > 1 else ways[0]}: {text}"


def seed_shown(of: Document, default: int | None = None) -> str:
    """Return what is said of the seed of a proxy or toxic: nothing where it has none."""
    seed = default if of["seed"] is None else of["seed"]
    return "" if seed is None else f", seed {seed}"
