"""The console as a process: its page, also without JavaScript, and its settings."""

import json
import re
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import pytest

from clients import class_results
from clients import console as client
from clients import kv as kv_client
from clients.addresses import PORTS, Address, variables
from clients.class_results import Reached
from services.console.words import sentences
from tests.support.console import (
    COMMAND,
    SERVICES,
    Console,
    attribute,
    consoling,
)
from tests.support.drivers import DRIVERS, serving
from tests.support.pace import FAR
from tests.support.processes import refuses_to_start, run
from tests.support.processes import running as running_process
from tests.support.sockets import LOOPBACK

SHOWN = [name for name in PORTS if name != "console"]
NOWHERE = Address(LOOPBACK, 1)


def test_the_checks_of_the_client_hold(console: Console) -> None:
    """Those that `make demo` makes, and the health check."""
    client.health(console.address, FAR)
    for check in client.CHECKS:
        check.run(console.address)


def test_the_command_line_shows_the_servers(console: Console) -> None:
    """As the page has them."""
    told = variables({"console": console.address})
    shown = run(("python", "-m", "clients", "console"), **told).stdout.splitlines()
    assert [line.split()[:2] for line in shown] == [[name, "healthy"] for name in SHOWN]


# The page.


@pytest.mark.parametrize("query", ["", "?language=zh", "?service=rpc&present=1", "?language=x&a"])
def test_the_page_has_all_parts(console: Console, query: str) -> None:
    """With what there is when it is loaded, so that it is of use without a script."""
    answer = console.ask(f"/{query}")
    assert answer.status == 200
    shown = answer.elements
    for name in ("announcement", "active", "stack", "try", "wire", "network", "workshop", "filter",
                 "conversations", "conversation", "profiles", "proxies", "link"):  # fmt: skip
        assert shown[name], name
    for name in SHOWN:
        assert attribute(answer.html, f"service-{name}", "data-state") == "healthy"
    for name in SERVICES:
        assert f"try-{name}" in shown
        assert f"network-{name}" in shown
    assert f'lang="{"zh" if "zh" in query else "en"}"' in answer.html
    assert ('<body class="present"' in answer.html) == ("present" in query)


def test_the_top_of_the_page_is_sent_before_anything_is_asked(console: Console) -> None:
    """By itself, so that a browser paints it, and gets the style, while the servers answer."""
    with closing(HTTPConnection(*console.address, timeout=FAR)) as connection:
        connection.request("GET", "/")
        response = connection.getresponse()
        first, rest = response.read1().decode(), response.read().decode()
    assert first.endswith("</nav>")
    assert "console.css" in first
    assert 'id="announcement"' in rest
    assert rest.endswith("</html>")


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.1", "en"),
        ("de", "en"),
        ("zh;q=0", "en"),
        ("zh;q=nan, en;q=x", "en"),
    ],
)
def test_the_language_is_the_readers(console: Console, accepted: str, language: str) -> None:
    """By Accept-Language, unless the query says which; links keep it."""
    page = console.ask("/", Accept_Language=accepted).html
    assert f'<html lang="{language}">' in page
    assert f'data-events="/events?language={language}"' in page
    other = {"en": "zh", "zh": "en"}[language]
    assert attribute(page, "language", "href") == f"/?language={other}"
    assert f'<html lang="{other}">' in console.ask(f"/?language={other}").html


def test_both_languages_say_something_else(console: Console) -> None:
    """Of each text on the page there is one in Chinese."""
    english, chinese = (console.ask(f"/?language={each}").elements for each in ("en", "zh"))
    for part in ("announcement", "active", "stack", "try", "wire", "network", "workshop"):
        assert english[part] != chinese[part]
    for sentence in sentences().values():
        assert set(sentence) == {"en", "zh"}


def test_the_browser_is_bound(console: Console) -> None:
    """By the policy that the design says, on whatever is answered."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src"
        " 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    for path in ("/", "/nothing", "/events?x", "/static/console.js", "/wire.pcapng", "/stack"):
        with closing(HTTPConnection(*console.address, timeout=FAR)) as connection:
            connection.request("GET", path)
            headers = connection.getresponse().headers
        assert headers["Content-Security-Policy"] == policy, path
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


def test_there_is_nothing_in_the_page_that_the_policy_forbids(console: Console) -> None:
    """No style and no script but those two files, and nothing of another site."""
    console.post("/try/rpc", function="add", arguments="2, 3")
    page = console.ask("/wire?proxy=rpc&connection=1").html
    assert re.findall(r"<script[^>]*>", page) == ['<script src="/static/console.js" defer>']
    assert "<style" not in page
    assert not re.search(r"\s(style|on\w+)=", page)
    assert set(re.findall(r'https?://[^"\s<]+', page)) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize(
    ("name", "type_"),
    [("console.css", "text/css"), ("console.js", "text/javascript"), ("icon.svg", "image/svg+xml")],
)
def test_files(console: Console, name: str, type_: str) -> None:
    """The style has what the diagrams need, too."""
    answer = console.ask(f"/static/{name}")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(type_)
    if name.endswith("css"):
        assert ".wire .lane" in answer.html


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/static/../server.py", 404),
        ("/static/words.toml", 404),
        ("/wire", 404),
        ("/wire?proxy=rpc&connection=99999", 404),
        ("/wire?proxy=rpc&connection=x", 404),
        ("/wire/bytes?proxy=%00&connection=1", 404),
        ("/wire.pcapng?proxy=rpc&connection=", 404),
        ("/try/rpc", 405),
    ],
)
@pytest.mark.parametrize("update", [False, True], ids=["page", "update"])
def test_what_there_is_not_is_said(console: Console, path: str, status: int, update: bool) -> None:
    """In a sentence: on the page, or as the element that says it."""
    answer = console.ask(path, None, "", **({"Console_Update": "1"} if update else {}))
    assert answer.status == status
    assert answer.headers["Allow"] == ("POST" if status == 405 else None)
    shown = answer.elements
    assert shown["problem"]
    assert ("stack" in shown) != update


def test_alone_it_serves_all_the_same(key_file: Path) -> None:
    """A console without any lab says what is not there."""
    nowhere = variables(dict.fromkeys(SHOWN, NOWHERE))
    with consoling(WIRELAB_AUTHKEY_FILE=str(key_file), **nowhere) as console:
        answer = console.ask("/")
        assert answer.status == 200
        assert console.ask("/?language=zh").status == 200
        failed = [server["name"] for server in client.stack(console.address)]
        assert failed == SHOWN
        said = console.ask("/").elements["announcement"]
        assert said.startswith(f"No answer from {', '.join(SHOWN)}.")


# The class.


def test_the_class_is_shown(key_file: Path) -> None:
    """Who has reached what in which lesson; what is none of it is counted, and not shown."""
    since = datetime(2026, 11, 26, 10, 31, tzinfo=UTC)
    with serving(DRIVERS["kv"][0]) as kv:
        told = variables({**dict.fromkeys(SHOWN, NOWHERE)})
        settings = {"WIRELAB_AUTHKEY_FILE": str(key_file), **told}
        with consoling(WIRELAB_CLASS=f"http://{kv.address}/", **settings) as console:
            assert "Nobody" in console.ask("/").elements["class"]
            class_results.write(
                kv.address, "水獭-31", {1: Reached(4, 4, "", since), 2: Reached(1, 5, "2.2", since)}
            )
            with kv_client.proxy(kv.address) as store:
                store.set("class/<script>", {"1": 1})
            shown = console.ask("/").elements["class"]
            assert "水獭-31" in shown
            assert "✓ 4/4" in shown
            assert "1/5" in shown
            assert "2.2 fails since 10:31:00 UTC" in shown
            assert "1 records are not shown" in shown
            kv.stop()
            assert "cannot be read" in console.ask("/").elements["class"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WIRELAB_PORT", "65536", "Not a port number (0 to 65535)"),
        ("WIRELAB_CLASS", "kv", "Not a URL"),
        ("WIRELAB_RPC_ADDRESS", "rpc", "Not a host:port"),
        ("WIRELAB_HOSTS", "a b", "Not names of hosts"),
    ],
)
def test_a_bad_setting_is_one_line(name: str, value: str, said: str) -> None:
    """It names the variable and the value, and the server does not start."""
    line = refuses_to_start(COMMAND, **{name: value})
    assert line.startswith(f"{name} has value {value!r}. {said}")


def test_it_stops_with_pages_open(key_file: Path) -> None:
    """Within the time of all servers, and with status 0."""
    nowhere = variables(dict.fromkeys(SHOWN, NOWHERE))
    settings = {"WIRELAB_AUTHKEY_FILE": str(key_file), **nowhere}
    with running_process(COMMAND, **settings) as server, Console(server).events() as events:
        next(events)
        assert server.stop() == 0


def test_health_needs_nobody(console: Console) -> None:
    """So a console is healthy where others are not."""
    assert console.ask("/health").body == client.HEALTHY
    assert json.loads(console.ask("/stack").body)[0]["name"] == SHOWN[0]
