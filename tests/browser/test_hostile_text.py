"""What passes is written by whoever sends it, and is text on the page, whatever it is."""

import socket

import pytest
from playwright.sync_api import Page, expect

from clients.client import client
from lab.stack import Stack
from tests.browser.acts import try_it
from tests.browser.conftest import Visit
from tests.support.pace import FAR

SCRIPT = "<script>document.owned=1</script>"
IMAGE = "\"'><img src=x onerror=document.owned=1>"
TEMPLATE = "{{7*7}}{%x%}${7*7}"
ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202eevil\u2066\u0000"
EVENT = "\n\nevent: element\ndata: <b id=owned>owned</b>\n\n"
FIELDS = {  # of the forms, where somebody can write what they like
    "tcp-echo": {"text": ...}, "rest": {"path": ...}, "httpbin": {"path": ...},
    "kv": {"action": "set", "name": ..., "value": ...}, "object-echo": {"value": ...},
    "rpc": {"function": ..., "arguments": ...},
}  # fmt: skip
WATCH = """() => {
    document.violations = [];
    addEventListener("securitypolicyviolation", (event) =>
        document.violations.push(event.violatedDirective + " " + event.blockedURI));
}"""


def harmless(page: Page) -> None:
    """Fail if anything of it has become more than text."""
    assert page.evaluate("document.owned") is None
    assert page.evaluate("document.violations") == []
    strange = "img[src=x], script:not([src]), #owned, [onerror], [onload]"
    assert page.locator(strange).count() == 0
    text = str(page.evaluate("document.documentElement.textContent"))
    assert not set(text) & set("\x00\x07\x1b\u202e\u2066")
    assert "49" not in page.locator("#announcement").inner_text()


@pytest.mark.usefixtures("key_in_environment")
@pytest.mark.parametrize("service", ["tcp-echo", "rest", "httpbin", "kv", "object-echo", "rpc"])
def test_what_somebody_else_sends_is_text(visit: Visit, stack: Stack, service: str) -> None:
    """In the list, the diagram, the ladder and the bytes; also where it looks like an event."""
    page = visit()
    page.evaluate(WATCH)
    where = stack.relayed()[service]
    for text in (ESCAPES, EVENT, TEMPLATE, IMAGE, SCRIPT):
        if service in ("httpbin", "rest") and text in (ESCAPES, EVENT):
            continue  # as these servers answer with it in another form
        with client(service).conversation(where, FAR) as ask:
            ask(text)
    newest = page.locator("#conversations a", has_text=service).first
    expect(newest).to_be_visible()
    for number in range(5):
        link = page.locator("#conversations a", has_text=service).nth(number)
        if not link.count():
            break
        link.click()
        expect(page.locator("#conversation svg.wire")).to_be_visible()
        page.locator("#conversation a[href*='/wire/bytes']").click()
        expect(page.locator("#bytes")).to_contain_text("0000")
        harmless(page)
    expect(page.locator("#conversations")).to_contain_text(service)


def test_a_datagram_is_text(visit: Visit, stack: Stack) -> None:
    """An ID of a request for the time is the client's choice."""
    page = visit()
    page.evaluate(WATCH)
    with socket.socket(type=socket.SOCK_DGRAM) as asking:
        asking.settimeout(FAR)
        asking.connect(stack.relayed()["udp-time"])
        asking.send(SCRIPT.encode())
        asking.recv(1000)
    page.locator("#conversations a", has_text="udp-time").first.click()
    expect(page.locator("#conversation")).to_contain_text(SCRIPT)
    harmless(page)


@pytest.mark.parametrize("text", [SCRIPT, IMAGE, TEMPLATE, ESCAPES.replace("\0", "")],
                         ids=["script", "image", "template", "escapes"])  # fmt: skip
@pytest.mark.parametrize("service", FIELDS)
def test_what_is_typed_into_a_form_is_text(visit: Visit, service: str, text: str) -> None:
    """In the answer, in the ladder, and in the field when it comes back."""
    page = visit()
    page.evaluate(WATCH)
    filled = {
        name: (f"/get?x={text}" if name == "path" else text) if value is ... else str(value)
        for name, value in FIELDS[service].items()
    }
    expect(try_it(page, service, **filled)).not_to_be_empty()
    harmless(page)
