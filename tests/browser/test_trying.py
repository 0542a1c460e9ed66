"""Try it: one exchange with each service, through the relay, its answer and what passed."""

import re

import pytest
from playwright.sync_api import Page, expect

from lab.testing.service import FindService
from tests.browser.acts import try_it
from tests.browser.conftest import Visit
from tests.support.pace import until

FORMS: dict[str, tuple[dict[str, str], str]] = {  # what is filled in, and what comes back
    "tcp-echo": ({"text": "Grüße, 你好"}, "Grüße, 你好"),
    "udp-time": ({}, " 20"),
    "rest": ({"method": "GET", "path": "/hello?name=Ada"}, "Hello Ada!"),
    "httpbin": ({"method": "GET", "path": "/get?word=seen"}, "seen"),
    "kv": ({"action": "set", "name": "browser", "value": "[1, 'two']"}, ""),
    "object-echo": ({"value": "{'a': (1, None)}"}, "{'a': (1, None)}"),
    "rpc": ({"function": "add", "arguments": "2, 3"}, "5"),
}


def parametrized() -> "pytest.MarkDecorator":
    """Return the forms as parameters of a test."""
    cases = [pytest.param(name, *case, id=name) for name, case in FORMS.items()]
    return pytest.mark.parametrize(("service", "fields", "answer"), cases)


def arrows(page: Page, service: str) -> str:
    """Return the ladder of an exchange."""
    return str(page.locator(f"#try-{service}-result pre.ladder").text_content())


@parametrized()
def test_an_exchange_shows_its_answer_and_what_passed(
    visit: Visit, service: str, fields: dict[str, str], answer: str
) -> None:
    """In place: the rest of the page stays as it was, and the keyboard where it was."""
    page = visit()
    page.evaluate("document.kept = true")
    result = try_it(page, service, **fields)
    expect(result).to_contain_text(answer)
    expect(result.locator("svg.wire")).to_be_visible()
    assert {"▶", "◀"} <= set(arrows(page, service))
    assert page.evaluate("document.kept")
    assert page.evaluate(
        "id => document.getElementById(id).contains(document.activeElement)", f"try-{service}"
    )


def test_what_is_set_is_there_to_get_and_to_delete(visit: Visit) -> None:
    """The key-value store, as somebody plays with it."""
    page = visit()
    try_it(page, "kv", action="set", name="browser", value="{'n': 7}")
    expect(try_it(page, "kv", action="get", name="browser")).to_contain_text("{'n': 7}")
    expect(try_it(page, "kv", action="keys")).to_contain_text("browser")
    try_it(page, "kv", action="delete", name="browser")
    expect(try_it(page, "kv", action="exists", name="browser")).to_contain_text("False")


@pytest.mark.parametrize(
    ("service", "fields", "said"),
    [
        pytest.param(
            "rpc", {"function": "add", "arguments": "1, 2, 3"}, "TypeError", id="arguments"
        ),
        pytest.param("rpc", {"function": "system", "arguments": ""}, "system", id="function"),
        pytest.param("rest", {"method": "GET", "path": "/nowhere"}, "404", id="path"),
        pytest.param("kv", {"action": "get", "name": "no such key"}, "no such key", id="key"),
    ],
)
def test_what_a_server_refuses_is_shown_as_it_says_it(
    visit: Visit, service: str, fields: dict[str, str], said: str
) -> None:
    """An error is an answer too, with its ladder."""
    page = visit()
    expect(try_it(page, service, **fields)).to_contain_text(said)
    assert "◀" in arrows(page, service)


def test_a_service_that_is_down_is_an_answer_in_words(visit: Visit, server: FindService) -> None:
    """The form says what has happened, and works again once the server does."""
    page = visit()
    with server("tcp-echo").stopped(wait=False):
        result = try_it(page, "tcp-echo", text="anybody there?")
        expect(result).not_to_contain_text("Traceback")
        expect(result).to_have_text(re.compile(r"\w+ \w+"))

    def answers() -> bool:
        return "'again'" in str(try_it(page, "tcp-echo", text="again").text_content())

    until(answers, "the form has an answer again")
