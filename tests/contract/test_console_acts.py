"""What can be done on the console's page: try a server, read the wire, break the network."""

import re
from pathlib import Path
from typing import Any

import pytest

from clients import console as client
from clients.tcp_echo import echo
from services.console.network import CONTROLS, Control
from services.wire import pcapng
from tests.support.console import (
    Console,
    Lab,
    attribute,
    elements,
    lab,
    until_shown,
)
from tests.support.pace import FAR
from tests.support.sockets import connect

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


def test_a_key_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    """What needs it cannot be tried, and says why; a server would have ended with that line."""
    with lab(str(tmp_path / "none")) as running:
        shown = running.console.post("/try/rpc", function="add", arguments="2, 3")
        problem = f"WIRELAB_AUTHKEY_FILE: {tmp_path / 'none'}: No such file or directory"
        assert problem in shown.elements["try-rpc-result"]
        found = {each["name"]: each["problem"] for each in client.stack(running.console.address)}
        assert {name for name, said in found.items() if said} == {"object-echo", "rpc"}
        assert problem[:100] in found["rpc"]


def test_a_client_that_leaves_in_the_middle_of_a_form_is_no_error(console: Console) -> None:
    """Nothing is to be read in the log then."""
    server = console.server
    with connect(server.address) as page:
        head = (
            f"POST /try/kv HTTP/1.1\r\nHost: {server.address}\r\nOrigin: http://{server.address}"
            "\r\nContent-Length: 9\r\n\r\n"
        )
        page.sendall(head.encode() + b"a")
        console.ask("/health")  # which is behind it in the event loop
    console.ask("/health")
    assert "Traceback" not in server.log


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
    ("kind", "attributes"),
    [
        ("latency", {"latency": 125, "jitter": 30}),  # between two steps of the slider
        ("latency", {"latency": 60_000, "jitter": 0}),  # above where it usually ends
        ("packet_loss", {"loss_rate": 0.015}),
    ],
)
def test_a_toxic_from_a_terminal_changes_its_direction_alone(
    running: Lab, console: Console, kind: str, attributes: dict[str, Any]
) -> None:
    """Its slider has its value, and sends it back; what no slider is for stays too."""
    relay = running.relay
    made = relay.add_toxic("rpc", kind, name="mine", toxicity=0.5, seed=9, **attributes)
    html = console.ask("/").html
    value = attribute(html, f"value-rpc-{kind}", "value")
    assert f"{kind} {value}" in elements(html)["active"]
    form = {"proxy": "rpc", "toxic": kind, "value": value}
    for stream, names in (
        ("both", [f"{kind}_upstream", "mine"]),
        ("upstream", [f"{kind}_upstream"]),
        ("downstream", [f"{kind}_downstream"]),
    ):
        assert console.post("/network/toxic", form, stream=stream, update=True).status == 200
        found = relay.proxy("rpc")["toxics"]
        assert [each["name"] for each in found] == names
        for each in found:
            assert each == {**made, "name": each["name"], "stream": each["stream"]}
    relay.add_toxic("rpc", kind, name="another", **attributes)
    assert console.post("/network/toxic", form, on="0").status == 303
    assert relay.proxy("rpc")["toxics"] == []


def test_a_large_seed_from_a_terminal_can_be_sent(running: Lab, console: Console) -> None:
    """A field that has more than its `max` would keep a browser from sending any profile."""
    running.relay.set_profile("clean", seed=2**63 - 1)
    html = console.ask("/").html
    seed = attribute(html, "seed", "value")
    assert int(seed) <= int(attribute(html, "seed", "max"))
    assert console.post("/network/profile", profile="clean", seed=seed).status == 303
    running.relay.set_profile("clean", seed=1)


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
        ("toxic", {"proxy": "rpc", "toxic": "latency", "on": "1", "value": "1.5"}, "value has"),
        ("toxic", {"proxy": "rpc", "toxic": "packet_loss", "on": "1", "value": "nan"}, "to 100"),
        ("toxic", {"proxy": "rpc", "toxic": "packet_loss", "on": "1", "value": "100.1"}, "100.1"),
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
