"""The console as a process: the page, its forms, its stream; also without JavaScript."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import pytest

from clients import class_results
from clients import console as client
from clients import kv as kv_client
from clients.addresses import PORTS, Address, variables
from clients.class_results import Reached
from clients.tcp_echo import echo
from services.console.network import CONTROLS, Control
from services.console.stack import EVERY, PATIENCE
from services.console.words import sentences
from services.wire import pcapng
from tests.support.console import (
    COMMAND,
    SERVICES,
    Answer,
    Console,
    Lab,
    attribute,
    changed,
    consoling,
    element_id,
    elements,
    lab,
)
from tests.support.drivers import DRIVERS, serving
from tests.support.pace import FAR, until
from tests.support.processes import refuses_to_start, run
from tests.support.processes import running as running_process
from tests.support.relay import COMMAND as RELAY
from tests.support.sockets import LOOPBACK

SHOWN = [name for name in PORTS if name != "console"]
NOWHERE = Address(LOOPBACK, 1)
DEAD_SECONDS = 10.0  # within which a server that has died shows


@pytest.fixture(scope="module")
def running(key_file: Path) -> Iterator[Lab]:
    """Run a lab for the tests of this file that stop nothing in it."""
    with lab(str(key_file)) as found:
        yield found


@pytest.fixture
def console(running: Lab) -> Iterator[Console]:
    """Lend its console; afterwards the network is clean."""
    yield running.console
    running.relay.reset()


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
    shown = answer.elements
    assert shown["problem"]
    assert ("stack" in shown) != update


def until_shown(console: Console, element: str, text: str) -> Answer:
    """Load the page until there is a text in an element, and return it."""
    found: list[Answer] = []

    def is_shown() -> bool:
        found[:] = [console.ask("/")]
        return text in found[0].elements[element]

    until(is_shown, f"{element} has {text!r}")
    return found[0]


# Try it.

TRIED = [
    ("tcp-echo", {"text": "Grüße 你好"}, "Grüße 你好"),
    ("udp-time", {}, "1 sent, 1 answered"),
    ("rest", {"method": "GET", "path": "/hello?name=Guido"}, "<h1>Hello Guido!</h1>"),
    ("rest", {"method": "DELETE", "path": "/hello"}, "405 Method Not Allowed"),
    ("kv", {"action": "set", "name": "n", "value": "[1, {'a': None}]"}, "None"),
    ("kv", {"action": "get", "name": "n"}, "[1, {'a': None}]"),
    ("kv", {"action": "exists", "name": "n"}, "True"),
    ("kv", {"action": "keys"}, "'n'"),
    ("kv", {"action": "delete", "name": "no such"}, "Fault 1: no such key"),
    ("object-echo", {"value": "{'a': [1, (2, None)]}"}, "{'a': [1, (2, None)]}"),
    ("rpc", {"function": "add", "arguments": "2, 3"}, "5"),
    ("rpc", {"function": "sub", "arguments": "y=2, x=3"}, "1"),
    ("rpc", {"function": "sub", "arguments": "[1], 2"}, "TypeError: unsupported operand"),
    ("rpc", {"function": "eval", "arguments": "'1'"}, "NameError: no function 'eval'"),
    ("httpbin", {"method": "GET", "path": "/get?a=b"}, '"a": "b"'),
]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("service", "form", "answer"), TRIED)
def test_an_exchange_is_tried(
    console: Console, service: str, form: dict[str, str], answer: str, language: str
) -> None:
    """The answer and the ladder of what passed are shown; the page has what was typed."""
    path = f"/try/{service}?language={language}"
    page = console.post(path, form)
    assert page.status == 200
    shown = page.elements[f"try-{service}-result"]
    assert answer in shown
    assert "client" in shown
    assert "connects" in shown or "asks for the time" in shown
    assert '<svg xmlns="http://www.w3.org/2000/svg" class="wire"' in page.html
    for name, value in form.items():
        if name not in ("method", "action"):
            assert attribute(page.html, f"{service}-{name}", "value") == value
    fragment = console.post(path, form, update=True)
    assert answer in fragment.elements[f"try-{service}-result"]
    assert set(fragment.elements) >= {f"try-{service}-said", f"try-{service}-result"}
    assert "stack" not in fragment.elements


@pytest.mark.parametrize(
    ("service", "form", "problem"),
    [
        ("rest", {"method": "BREW", "path": "/"}, "method has value 'BREW'"),
        ("rest", {"method": "GET", "path": "x"}, "path has value 'x'"),
        ("kv", {"action": "drop"}, "action has value 'drop'"),
        ("rpc", {"function": "add", "arguments": "2, os"}, "arguments has value '2, os'"),
        ("rpc", {"function": "add", "arguments": "2), (3"}, "arguments has value"),
        ("rpc", {"function": "add", "arguments": "2) + f(3"}, "arguments has value"),
        ("rpc", {"function": "add", "arguments": "[" * 900}, "arguments has value"),
        ("tcp-echo", {"text": "x" * 1001}, "text has 1,001 characters"),
    ],
)
def test_a_field_that_cannot_be_is_named(
    console: Console, service: str, form: dict[str, str], problem: str
) -> None:
    """Nothing is sent then."""
    shown = console.post(f"/try/{service}", form).elements[f"try-{service}-result"]
    assert shown.startswith("Not sent")
    assert problem in shown


def test_what_is_tried_passes_the_network(running: Lab, console: Console) -> None:
    """A lost datagram is in the ladder; what is late is late."""
    running.relay.add_toxic("udp-time", "packet_loss", "upstream", loss_rate=0.5, seed=3)
    for _ in range(20):
        shown = console.post("/try/udp-time").elements["try-udp-time-result"]
        if "packet_loss_upstream: dropped" in shown:
            break
    else:
        pytest.fail("nothing was lost")
    assert "×" in shown  # noqa: RUF001 - as the ladder has it
    running.relay.add_toxic("tcp-echo", "latency", latency=150)
    shown = console.post("/try/tcp-echo", text="late").elements["try-tcp-echo-result"]
    assert float(re.findall(r"Answer after ([\d.]+) ms", shown)[0]) >= 150


def test_a_service_that_there_is_not_cannot_be_tried(console: Console) -> None:
    """It has no form."""
    assert console.post("/try/nothing").status == 404


# The wire.


def test_conversations_are_shown(running: Lab, console: Console) -> None:
    """All of them, or those of a service; one as a diagram and as text, and its bytes."""
    echo(running.relay.listening("tcp-echo"), b"<b>seen</b>", FAR)
    console.post("/try/rpc", function="add", arguments="'<i>', 'x'")
    page = until_shown(console, "conversations", "<b>seen")
    assert "add('<i>', 'x')" in page.elements["conversations"] or "rpc" in page.html
    only = console.ask("/?service=tcp-echo")
    assert "<b>seen</b>" in only.elements["conversations"]
    assert "rpc" not in only.elements["conversations"]
    link = re.findall(r'href="(/wire\?[^"#]*proxy=tcp-echo[^"#]*)#conversation"', page.html)[0]
    link = link.replace("&amp;", "&")
    opened = console.ask(link)
    assert "'<b>seen</b>'" in opened.elements["conversation"]
    assert "'<b>seen</b>'" in opened.elements["ladder"]
    assert "stack" in opened.elements
    fragment = console.ask(link, Console_Update="1")
    assert "'<b>seen</b>'" in fragment.elements["conversation"]
    assert "stack" not in fragment.elements
    dumped = console.ask(link.replace("/wire?", "/wire/bytes?"))
    assert "3c 62 3e 73 65 65 6e 3c 2f 62 3e" in dumped.elements["bytes"]


def test_the_wire_is_downloaded(running: Lab, console: Console) -> None:
    """All of it, of one service, or one conversation: what Wireshark opens, and we read back."""
    echo(running.relay.listening("tcp-echo"), b"for wireshark", FAR)
    console.post("/try/udp-time")
    answer = console.ask("/wire.pcapng")
    assert answer.headers["Content-Type"] == "application/x-pcapng"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="wire.pcapng"'
    found = pcapng.decode(answer.body)
    assert {record.proxy for record in found} >= {"tcp-echo", "udp-time"}
    only = pcapng.decode(console.ask("/wire.pcapng?service=tcp-echo").body)
    assert {record.proxy for record in only} == {"tcp-echo"}
    latest = only[-1].connection
    query = f"proxy=tcp-echo&connection={latest}"
    one = pcapng.decode(console.ask(f"/wire.pcapng?{query}").body)
    assert {record.connection for record in one} == {latest}
    assert b"for wireshark" in b"".join(record.data for record in one)


# The network.


def test_a_profile_is_set(running: Lab, console: Console) -> None:
    """With a seed; the browser is then sent to a page that a reload does not send again."""
    answer = console.post("/network/profile?language=zh", profile="lossy", seed="7")
    assert answer.status == 303
    assert answer.headers["Location"] == "/?language=zh#network"
    page = console.ask("/")
    assert "lossy, seed 7" in page.elements["active"]
    assert attribute(page.html, "profile-lossy", "aria-pressed") == "true"
    assert attribute(page.html, "seed", "value") == "7"
    assert running.relay.profile()["name"] == "lossy"
    assert console.post("/network/profile", profile="clean").status == 303
    assert "rpc" not in console.ask("/").elements["active"]


@pytest.mark.parametrize(
    ("service", "control"),
    [(service, control) for service in ("rpc", "udp-time")
     for control in CONTROLS["udp" if service == "udp-time" else "tcp"]],
    ids=str,
)  # fmt: skip
def test_a_toxic_is_switched_and_changed(
    running: Lab, console: Console, service: str, control: Control
) -> None:
    """On in one direction, then in both with another value, then off; each is on the page."""
    kind = control.type
    form = {"proxy": service, "toxic": kind}
    switch, value = f"switch-{service}-{kind}", f"value-{service}-{kind}"

    def set_to(**fields: str) -> str:
        answer = console.post("/network/toxic", {**form, **fields}, update=True)
        assert answer.status == 200, answer.html
        assert set(answer.elements) >= {"active", "profiles", f"network-{service}"}
        assert "network-kv" not in answer.elements
        return answer.html

    def there() -> list[tuple[str, str]]:
        toxics = running.relay.proxy(service)["toxics"]
        return [(each["type"], each["stream"]) for each in toxics]

    with_value = {"value": "5"} if control.attribute else {}
    html = set_to(on="1", stream="upstream", **with_value)
    assert there() == [(kind, "upstream")]
    assert attribute(html, switch, "aria-checked") == "true"
    if with_value:
        assert attribute(html, value, "value") == "5"
    html = set_to(stream="both", **({"value": "10"} if with_value else {}))
    assert there() == [(kind, "upstream"), (kind, "downstream")]
    page = console.ask("/").html
    assert kind in elements(page)["active"]
    assert attribute(page, switch, "aria-checked") == "true"
    if with_value:
        assert attribute(page, value, "value") == "10"
    set_to(on="0")
    assert there() == []
    assert attribute(console.ask("/").html, switch, "aria-checked") == "false"


@pytest.mark.parametrize(
    ("path", "form", "problem"),
    [
        ("profile", {"profile": "fast"}, "name has value 'fast'"),
        ("profile", {"profile": "3g", "seed": "-1"}, "seed has value '-1'"),
        ("profile", {"profile": "3g", "seed": "x"}, "seed has value 'x'"),
        ("profile", {"profile": "3g", "proxy": "no"}, "proxy not found"),
        ("profile", {}, "missing required field: name"),
        ("toxic", {"proxy": "no", "toxic": "latency", "on": "1", "value": "1"}, "proxy not found"),
        ("toxic", {"proxy": "rpc", "toxic": "gravity", "on": "1"}, "toxic has value 'gravity'"),
        ("toxic", {"proxy": "rpc", "toxic": "latency", "on": "1", "value": "1e9"}, "1e9"),
        ("toxic", {"proxy": "rpc", "toxic": "latency", "on": "1", "value": "٣"}, "value has"),
        ("toxic", {"proxy": "rpc", "toxic": "latency", "on": "1", "stream": "x"}, "stream has"),
    ],
)  # fmt: skip
def test_what_cannot_be_set_is_said(
    console: Console, path: str, form: dict[str, str], problem: str
) -> None:
    """And the network stays as it is."""
    answer = console.post(f"/network/{path}", form, update=True)
    assert answer.status == 400
    assert problem in answer.elements["problem"]
    page = console.post(f"/network/{path}", form)
    assert page.status == 400
    assert problem in page.elements["problem"]
    assert "clean, seed" in page.elements["active"]


# The stream.


def test_a_stream_begins_with_what_there_is(console: Console) -> None:
    """Which process serves, and then each element that changes by itself, once."""
    boot = attribute_of_body(console, "data-boot")
    with console.events("?language=zh") as events:
        assert next(events) == ("begin", boot)
        wanted = ["announcement", "conversations", "active", "profiles", "proxies", "services"]
        found = [next(events) for _ in wanted]
        assert [kind for kind, _ in found] == ["element"] * len(wanted)
        assert sorted(element_id(html) for _, html in found) == sorted(wanted)


def attribute_of_body(console: Console, name: str) -> str:
    """Return an attribute of the page's body."""
    return str(re.findall(rf'<body[^>]*{name}="([^"]*)"', console.ask("/").html)[0])


def test_a_stream_has_what_changes(running: Lab, console: Console) -> None:
    """A conversation, the network as somebody else has set it, the time of each exchange."""
    with console.events() as events, console.events("?language=zh&service=rpc") as others:
        echo(running.relay.listening("tcp-echo"), b"streamed", FAR)
        changed(events, "conversations", "streamed")
        running.relay.add_toxic("kv", "latency", latency=120)
        assert "latency 120" in elements(changed(events, "active", "latency"))["active"].replace(
            "\xa0", " "
        )
        assert "latency" in changed(others, "active", "latency")
        changed(events, "service-kv", "● answers")


def test_a_view_is_rendered_for_itself(running: Lab, console: Console) -> None:
    """Each stream has its language and its service."""
    with console.events("?language=zh&service=udp-time") as events:
        console.post("/try/udp-time")
        shown = changed(events, "conversations", "asks for the time")
        assert "个事件" in shown
        assert "tcp-echo" not in elements(shown)["conversations"]
    running.relay.reset()


# What is away.


@pytest.fixture
def own(key_file: Path) -> Iterator[Lab]:
    """Run a lab in which servers may be stopped."""
    with suppress(AssertionError), lab(str(key_file)) as found:
        yield found


def test_a_server_that_dies_shows_within_ten_seconds(own: Lab) -> None:
    """On the stream and on the page, and that it is back; the others go on."""
    with own.console.events() as events:
        changed(events, "announcement", "All 8 servers answer")
        os.kill(own.servers["tcp-echo"].process.pid, signal.SIGSTOP)  # it accepts, and says nothing
        began = datetime.now(UTC)
        changed(events, "announcement", "No answer from tcp-echo.")
        html = changed(events, "service-tcp-echo", 'data-state="failed"')
        assert (datetime.now(UTC) - began).total_seconds() < DEAD_SECONDS
        assert "timed out" in elements(html)["service-tcp-echo"]
        page = own.console.ask("/").html
        assert attribute(page, "service-tcp-echo", "data-state") == "failed"
        assert attribute(page, "service-rpc", "data-state") == "healthy"
        os.kill(own.servers["tcp-echo"].process.pid, signal.SIGCONT)
        changed(events, "announcement", "All 8 servers answer")
        changed(events, "service-tcp-echo", 'data-state="healthy"')


def test_without_the_relay_the_page_says_so(own: Lab) -> None:
    """The servers are asked directly; what needs the relay is said in words, and comes back."""
    own.servers["relay"].process.kill()
    own.servers["relay"].process.wait()
    page = until_shown(own.console, "conversations", "does not answer")
    assert "cannot be asked" in page.elements["active"]
    assert "cannot be asked" in page.elements["proxies"]
    assert attribute(page.html, "service-rpc", "data-state") == "healthy"
    assert attribute(page.html, "service-relay", "data-state") == "failed"
    assert "relay" in own.console.post("/try/rpc", function="add").elements["try-rpc-result"]
    assert own.console.post("/network/profile", profile="clean").status == 400
    assert own.console.ask("/wire.pcapng").status == 502


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


def test_nobody_watches_and_nothing_is_asked(key_file: Path) -> None:
    """Each server is asked again and again while a page is open, and not any more after that."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(2 * EVERY + PATIENCE)
        told = variables(
            {**dict.fromkeys(SHOWN, NOWHERE), "tcp-echo": Address(*listener.getsockname())}
        )

        def is_asked() -> None:
            answering, _ = listener.accept()
            with answering:
                answering.sendall(answering.recv(100))

        with consoling(WIRELAB_AUTHKEY_FILE=str(key_file), **told) as console:
            with console.events() as events:
                next(events)
                for _ in range(3):
                    is_asked()
            listener.settimeout(EVERY + 1)  # longer than from one exchange to the next
            with suppress(TimeoutError):
                is_asked()  # it was under way
            with pytest.raises(TimeoutError):
                is_asked()


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


def test_the_journal_of_a_relay_that_is_started_again_is_read(own: Lab, key_file: Path) -> None:
    """Its records count from 1 again, and the console has already read further."""
    port = own.relay.address.port
    with own.console.events() as events:
        for number in range(3):
            echo(own.relay.listening("tcp-echo"), b"before %d" % number, FAR)
        changed(events, "conversations", "before 2")
        own.servers["relay"].process.kill()
        own.servers["relay"].process.wait()
        settings = {"WIRELAB_RELAY_UPSTREAMS": f"p={own.servers['tcp-echo'].address}"}
        settings |= {"WIRELAB_PORT": str(port), "WIRELAB_AUTHKEY_FILE": str(key_file)}
        with running_process(RELAY, **settings):
            echo(own.relay.listening("p"), b"after", FAR)
            changed(events, "conversations", "after")
