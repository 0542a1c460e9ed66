"""What passes is written by whoever sends it, and is text on the page, whatever it is."""

import socket
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from clients import tcp_echo
from clients.addresses import Address
from clients.client import client
from services.wire.conversation import SERVICES
from tests.browser.acts import try_it
from tests.browser.conftest import Addresses, Visit
from tests.support.clients import http_exchange
from tests.support.pace import FAR

TEXTS = {
    "script": "<script>document.owned=1</script>",
    "image": "\"'><img src=x onerror=document.owned=1>",
    "template": "{{7*7}}{%x%}${7*7}",
    "escapes": "\x1b[2J\x1b]0;owned\x07\u202eevil\u2066",
    "event": "\n\nevent: element\ndata: <b id=owned>owned</b>\n\n",
}
FIELDS: dict[str, dict[str, Any]] = {  # of the forms, where somebody can write what they like
    "tcp-echo": {"text": ...}, "rest": {"path": ...}, "httpbin": {"path": ...},
    "kv": {"action": "set", "name": ..., "value": ...}, "object-echo": {"value": ...},
    "rpc": {"function": ..., "arguments": ...},
}  # fmt: skip

HREFS = "links => links.map((each) => each.href)"
IS_NEW = """(before) => {
    const link = document.querySelector("#conversations a");
    return link && !before.includes(link.href);
}"""


def harmless(page: Page) -> None:
    """Fail if anything of it has become more than text.

    What the page's policy of security forbids, the browser complains of: so does `visit`.
    """
    assert page.evaluate("document.owned") is None
    strange = "img[src=x], script:not([src]), #owned, [onerror], [onload]"
    assert page.locator(strange).count() == 0
    text = str(page.evaluate("document.documentElement.textContent"))
    assert not set(text) & set("\x00\x07\x1b\u202e\u2066")


def send(service: str, where: Address, text: str) -> None:
    """Send a text through the relay, wherever the protocol has room for one."""
    if service == "tcp-echo":
        tcp_echo.exchange(where, text.encode(), FAR)
    elif service == "udp-time":
        with socket.socket(type=socket.SOCK_DGRAM) as asking:
            asking.settimeout(FAR)
            asking.connect(where)
            asking.send(text.encode())
            asking.recv(1000)
    elif service in ("object-echo", "rpc"):
        with client(service).conversation(where, FAR) as ask:
            ask(text)
    else:  # in the path, in a header's value, and in the body
        body = text.encode()
        path, value = quote(text, safe="<>'=/()"), quote(text, safe="<>'\"=/(){} ")
        head = f"POST /anything?x={path} HTTP/1.1\r\nHost: localhost\r\nX-Note: {value}\r\n"
        length = f"Content-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        http_exchange(where, f"{head}{length}".encode() + body)


@pytest.mark.usefixtures("key_in_environment")
@pytest.mark.parametrize("service", SERVICES)
def test_what_somebody_else_sends_is_text(visit: Visit, relayed: Addresses, service: str) -> None:
    """In the list, the diagram, the ladder and the bytes; also where it looks like an event."""
    page = visit(f"/?service={service}")
    for text in TEXTS.values():
        before = page.locator("#conversations a").evaluate_all(HREFS)
        send(service, relayed[service], text)
        page.wait_for_function(IS_NEW, arg=before)
        link = page.locator("#conversations a").first
        wanted = link.evaluate("it => it.href")
        link.click()
        expect(page).to_have_url(wanted)
        expect(page.locator("#conversation svg.wire")).to_be_visible()
        page.locator("#show-bytes").click()
        expect(page.locator("#bytes")).to_contain_text("0000")
        harmless(page)
    page.reload()
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    expect(page.locator("#conversations")).to_contain_text(service)
    harmless(page)


@pytest.mark.parametrize("service", FIELDS)
def test_what_is_typed_into_a_form_is_text(visit: Visit, service: str) -> None:
    """In the answer, and in the ladder; and kv is as empty afterwards as it was."""
    page = visit()
    for text in TEXTS.values():
        filled = {
            name: (f"/get?x={text}" if name == "path" else text) if value is ... else str(value)
            for name, value in FIELDS[service].items()
        }
        for fields in (filled, filled | {"action": "delete"}) if service == "kv" else (filled,):
            expect(try_it(page, service, **fields)).not_to_be_empty()
            harmless(page)
