"""A console under test: the page as a browser without JavaScript has it, and its stream."""

import http.client
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlencode

from clients.addresses import PORTS, Address, variables
from clients.relay import Relay
from tests.support.drivers import DRIVERS, serving
from tests.support.pace import FAR, until
from tests.support.processes import Server, running
from tests.support.relay import RelayUnderTest, relaying

COMMAND = ("python", "-m", "services.console.server")
SERVICES = tuple(name for name in PORTS if name not in ("relay", "console"))


@dataclass(frozen=True)
class Answer:
    """An answer, and what is in it."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def html(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def elements(self) -> dict[str, str]:
        """The text of each element with an id; nothing of it runs into another word."""
        return elements(self.html)


class Console:
    """A console, as its pages and forms are used."""

    def __init__(self, server: Server) -> None:
        self.server, self.address = server, server.address
        self.site = f"http://{server.address}"

    def ask(
        self, path: str, form: dict[str, str] | None = None, method: str = "", **headers: str
    ) -> Answer:
        """Send a GET, or a form; headers have underscores for hyphens."""
        body = None if form is None else urlencode(form)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection(*self.address, timeout=FAR)) as connection:
            connection.request(method or ("GET" if form is None else "POST"), path, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    @property
    def token(self) -> str:
        """The token that is in each form of the page."""
        found = re.findall(r'name="token" value="([^"]+)"', self.ask("/").html)
        assert len(set(found)) == 1
        return str(found[0])

    def post(
        self, path: str, form: dict[str, str] | None = None, /, *, update: bool = False, **more: str
    ) -> Answer:
        """Send a form as a browser does from the page, or as the script does."""
        headers = {"Origin": self.site, "Sec_Fetch_Site": "same-origin"}
        if update:
            headers["Console_Update"] = "1"
        fields = {"token": self.token, **(form or {}), **more}
        return self.ask(path, fields, "", **headers)

    @contextmanager
    def events(self, query: str = "") -> Iterator[Iterator[tuple[str, str]]]:
        """Lend the events of a stream."""
        with closing(http.client.HTTPConnection(*self.address, timeout=FAR)) as connection:
            connection.request("GET", f"/events{query}")
            response = connection.getresponse()
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("text/event-stream")
            yield read_events(response)


def read_events(lines: http.client.HTTPResponse) -> Iterator[tuple[str, str]]:
    """Yield the events of a stream, each with its type and data."""
    kind, data = "", []
    for line in lines:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif not name and data:
            yield kind, "\n".join(data)
            kind, data = "", []


def changed(events: Iterator[tuple[str, str]], element: str, text: str) -> str:
    """Return the HTML of an element as soon as there is a text in it."""
    for kind, html in events:
        if kind == "element" and element_id(html) == element and text in html:
            return html
    raise AssertionError(f"the stream has ended before {element} had {text!r}")


def until_shown(console: Console, element: str, text: str) -> Answer:
    """Load the page until there is a text in an element, and return it."""
    found: list[Answer] = []

    def is_shown() -> bool:
        found[:] = [console.ask("/")]
        return text in found[0].elements[element]

    until(is_shown, f"{element} has {text!r}")
    return found[0]


def element_id(html: str) -> str:
    """Return the id of the element that an event carries."""
    found = re.match(r'<\w+ id="([^"]+)"', html)
    assert found, html[:200]
    return found[1]


def elements(html: str) -> dict[str, str]:
    """Return the text of each element with an id, unescaped."""
    parser = Texts()
    parser.feed(html)
    return {name: " ".join(" ".join(texts).split()) for name, texts in parser.found.items()}


class Texts(HTMLParser):
    """Collects texts by the elements that they are in."""

    VOID = ("input", "meta", "link", "br", "hr", "img")

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}
        self.open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Enter an element."""
        name = dict(attrs).get("id") or ""
        if name:
            assert name not in self.found, f"two elements have the id {name!r}"
            self.found[name] = []
        if tag not in self.VOID:
            self.open.append((tag, name))

    def handle_endtag(self, tag: str) -> None:
        """Leave it."""
        assert self.open, f"</{tag}> without a beginning"
        assert self.open[-1][0] == tag, f"</{tag}> ends {self.open[-1]}"
        self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Pass an element of SVG without a content."""
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        """Add a text to all elements that it is in."""
        for _, name in self.open:
            if name:
                self.found[name].append(data)


def attribute(html: str, element: str, name: str) -> str:
    """Return an attribute of the element with an id."""
    tag = re.search(rf'<\w+ id="{re.escape(element)}"[^>]*>', html)
    assert tag, f"no element {element!r}"
    found = re.search(rf'\b{name}="([^"]*)"', tag[0])
    return unescape(found[1]) if found else ""


@dataclass
class Lab:
    """All services, a relay that leads to them, and a console."""

    console: Console
    relay: RelayUnderTest
    servers: dict[str, Server]
    told: dict[str, str]  # where each server is, as variables


@contextmanager
def lab(key_file: str, **settings: str) -> Iterator[Lab]:
    """Run a whole lab as processes, on ports that the kernel picks."""
    with ExitStack() as opened:
        servers = {name: opened.enter_context(serving(DRIVERS[name][0])) for name in SERVICES}
        upstreams = " ".join(f"{name}={server.address}" for name, server in servers.items())
        relay, process = opened.enter_context(relaying(WIRELAB_RELAY_UPSTREAMS=upstreams))
        told = addresses_of(servers, relay)
        environment = {"WIRELAB_AUTHKEY_FILE": key_file, **told, **settings}
        console = opened.enter_context(consoling(**environment))
        yield Lab(console, relay, {**servers, "relay": process}, told)


def addresses_of(servers: dict[str, Server], relay: Relay) -> dict[str, str]:
    """Return the variables that say where servers are, and where the relay leads to them."""
    direct = {name: server.address for name, server in servers.items()}
    relayed = {name: relay.listening(name) for name in servers}
    return variables({**direct, "relay": Address(*relay.address)}, relayed)


@contextmanager
def consoling(**environment: str) -> Iterator[Console]:
    """Run a console; whatever it is asked, it says nothing of an error."""
    with running(COMMAND, **environment) as server:
        yield Console(server)
        assert server.process.poll() is None, server.log
        assert "Traceback" not in server.log, server.log
        assert "ERROR" not in server.log, server.log
