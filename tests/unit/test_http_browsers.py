"""Which requests may come from the page of another site: none."""

from contextlib import nullcontext

import pytest

from services import runtime
from services.host_names import parse as host_names
from services.http.browsers import check
from services.http.request import HTTPError
from services.kv.worker import Worker as KeyValueWorker
from services.rest.worker import Worker as RestWorker

HOSTS = host_names("kv, relay ,Lab.Example")
MISDIRECTED, FORBIDDEN = "421 Misdirected Request", "403 Forbidden"

# Host, Origin, and the status that a request with them has, if it is refused.
HEADERS: list[tuple[str | None, str | None, str | None]] = [
    # HTTP/1.0 has no Host, and no client but a browser sends an Origin.
    (None, None, None),
    ("", None, None),
    ("127.0.0.1", None, None),
    ("127.0.0.1:8080", None, None),
    ("127.0.0.1:", None, None),
    ("192.0.2.7:8080", None, None),
    ("[::1]", None, None),
    ("[::1]:8080", None, None),
    ("[2001:db8::7]:8080", None, None),
    ("localhost", None, None),
    ("LocalHost:8080", None, None),
    ("localhost.:8080", None, None),
    ("kv.localhost:8080", None, None),
    ("kv", None, None),
    ("KV:15000", None, None),
    ("relay:15020", None, None),
    ("lab.example", None, None),
    ("evil.example", None, MISDIRECTED),
    ("evil.example:8080", None, MISDIRECTED),
    ("rest", None, MISDIRECTED),
    ("127.0.0.1.evil.example", None, MISDIRECTED),
    ("localhost.evil.example", None, MISDIRECTED),
    ("evillocalhost", None, MISDIRECTED),
    ("kv.evil.example", None, MISDIRECTED),
    ("127.1", None, MISDIRECTED),
    ("0x7f000001", None, MISDIRECTED),
    ("evil.example", "http://evil.example", MISDIRECTED),
    ("localhost:8080", "http://localhost:8080", None),
    ("LOCALHOST:8080", "http://localhost:8080", None),
    ("lab.example", "https://lab.example", None),  # there is a proxy with TLS in front
    ("[::1]:8080", "http://[::1]:8080", None),
    ("localhost:8080", "http://evil.example", FORBIDDEN),
    ("localhost:8080", "http://evil.example:8080", FORBIDDEN),
    ("localhost:8080", "http://localhost:8081", FORBIDDEN),
    ("localhost:8080", "http://localhost", FORBIDDEN),
    ("localhost:8080", "http://127.0.0.1:8080", FORBIDDEN),
    ("localhost:8080", "http://localhost:8080.evil.example", FORBIDDEN),
    ("localhost:8080", "null", FORBIDDEN),  # a file, or a frame in a sandbox
    ("localhost:8080", "", FORBIDDEN),
    ("localhost:8080", "localhost:8080", FORBIDDEN),
    ("localhost:8080", "file://localhost:8080", FORBIDDEN),
    (None, "http://evil.example", FORBIDDEN),
    (None, "null", FORBIDDEN),
    ("", "", FORBIDDEN),
    ("", "http://", FORBIDDEN),
]


@pytest.mark.parametrize(("host", "origin", "status"), HEADERS)
def test_only_the_pages_of_this_server_may_send_requests(
    host: str | None, origin: str | None, status: str | None
) -> None:
    """By Host, which DNS rebinding cannot change, and by Origin, which a page cannot."""
    headers = {k: v for k, v in {"host": host, "origin": origin}.items() if v is not None}
    with nullcontext() if status is None else pytest.raises(HTTPError) as caught:
        check(headers, HOSTS)
    assert (caught and caught.value.status) == status


def test_an_error_names_what_is_wrong() -> None:
    """And the setting that can help."""
    with pytest.raises(HTTPError) as caught:
        check({"host": "evil.example:80"}, HOSTS)
    wanted = "This server has no name 'evil.example:80'; the setting WIRELAB_HOSTS can give it one."
    assert caught.value.detail == wanted
    with pytest.raises(HTTPError) as caught:
        check({"host": "kv", "origin": "http://evil.example"}, HOSTS)
    wanted = "Pages of 'http://evil.example' may not send requests to this server."
    assert caught.value.detail == wanted


@pytest.mark.parametrize("worker", [KeyValueWorker, RestWorker])
def test_more_names_are_a_setting(
    worker: type[KeyValueWorker | RestWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read when gunicorn starts, and a value that is no list of names is an error then."""
    monkeypatch.setattr(worker, "hosts", frozenset())
    monkeypatch.setattr(worker, "request_timeout", 1, raising=False)
    for value, names in {"": set(), "a, B.example,,": {"a", "b.example"}}.items():
        monkeypatch.setenv("WIRELAB_HOSTS", value)
        worker.setup()
        assert worker.hosts == names
    for value in ("http://a", "a:80", "a b", "*"):
        monkeypatch.setenv("WIRELAB_HOSTS", value)
        with pytest.raises(runtime.SettingError, match=r"WIRELAB_HOSTS has value .* Not names"):
            worker.setup()
