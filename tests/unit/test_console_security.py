"""The console's policy: which requests are answered, and from where they may come."""

import pytest

from services.console.security import Refused, check, is_token

HOSTS = frozenset({"console"})
HOST = "127.0.0.1:8090"
OURS = f"http://{HOST}"


@pytest.mark.parametrize(
    "host", [HOST, "localhost:8090", "[::1]:8090", "console:8090", "console", "a.localhost"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_name_of_ours_is_answered(method: str, host: str) -> None:
    """Whether it is a browser that asks or not."""
    check(method, {"host": host}, HOSTS)
    check(method, {"host": host, "sec-fetch-site": "same-origin"}, HOSTS)
    check(method, {"host": host, "sec-fetch-site": "none"}, HOSTS)


@pytest.mark.parametrize("host", ["", "lab.example.net", "127.0.0.1.example.net:8090", "kv", ":80"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_host_is_refused(method: str, host: str) -> None:
    """Its owner may have it resolve to 127.0.0.1."""
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    with pytest.raises(Refused) as raised:
        check(method, headers, HOSTS)
    assert raised.value.status == 421


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("destination", "answered"),
    [("document", True), ("iframe", False), ("image", False), ("script", False), ("", False)],
)
def test_a_page_of_another_site_may_only_link(site: str, destination: str, answered: bool) -> None:
    """It embeds nothing, and opens no stream."""
    headers = {"host": HOST, "sec-fetch-site": site, "sec-fetch-dest": destination}
    if answered:
        check("GET", headers, HOSTS)
        return
    with pytest.raises(Refused) as raised:
        check("GET", headers, HOSTS)
    assert raised.value.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": OURS},
        {"origin": OURS},
        {"origin": OURS.upper().replace("HTTP", "http")},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_form_of_ours_is_taken(method: str, headers: dict[str, str]) -> None:
    """A browser says that it is by one header or the other."""
    check(method, {"host": HOST, **headers}, HOSTS)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": OURS},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"},
        {"origin": "null"},
        {"origin": "http://lab.example.net"},
        {"origin": "http://127.0.0.1:8091"},
        {"origin": "http://127.0.0.1"},
        {"origin": f"ftp://{HOST}"},
        {"sec-fetch-site": "same-origin", "origin": "http://lab.example.net"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE"])
def test_another_form_is_refused(method: str, headers: dict[str, str]) -> None:
    """Also one of which nothing says where it comes from."""
    with pytest.raises(Refused) as raised:
        check(method, {"host": HOST, **headers}, HOSTS)
    assert raised.value.status == 403


def test_a_token_is_that_of_this_process() -> None:
    """Nothing else is, in whatever characters."""
    assert is_token("abc", "abc")
    assert not any(is_token(given, "abc") for given in ("", "ab", "abcd", "ABC", "äbc"))
