"""What the HTTP recipes make of servers that fail, with urllib and with requests."""

import io
import socket
import time
from email.utils import formatdate
from types import ModuleType

import pytest
import requests

from clients.http import with_urllib
from clients.http.messages import LONGEST_WAIT, Answer, Wanted
from tests.support.drivers import DRIVERS, Driver
from tests.support.pace import FAR
from tests.support.scripted import BUSY, NOTHING, OK, scripted

TIMEOUT = FAR  # seconds; only tests of something else than timeouts have it


@pytest.fixture(scope="module")
def driver() -> Driver:
    """Name the driver."""
    return DRIVERS["httpbin"][0]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/delay/2", id="before the headers"),
        pytest.param("/drip?numbytes=2&duration=4", id="in the middle of the body"),
    ],
)
def test_an_answer_that_takes_too_long_is_a_timeout(
    library: ModuleType, base: str, path: str
) -> None:
    """Wherever the server falls silent, both libraries raise TimeoutError."""
    with pytest.raises(TimeoutError):
        library.answer_within(base, path, 0.2)


@pytest.mark.usefixtures("waits")
def test_a_server_that_fails_twice_is_asked_three_times(library: ModuleType) -> None:
    """Neither a 503 nor a closed connection is the last word."""
    with scripted(BUSY, NOTHING, OK) as script:
        answer: Answer = library.get_with_retries(script.base, "/", TIMEOUT)

    assert (answer.status, answer.content) == (200, b"fine")
    assert len(script.requests) == 3


@pytest.mark.usefixtures("waits")
def test_a_server_that_always_fails_is_given_up(library: ModuleType) -> None:
    """After the retries the last answer is returned as it came."""
    with scripted(BUSY) as script:
        answer: Answer = library.get_with_retries(script.base, "/", TIMEOUT, retries=4)

    assert (answer.status, answer.reason) == (503, "Busy")
    assert len(script.requests) == 5


@pytest.mark.usefixtures("waits")
def test_a_server_that_never_answers_is_given_up(library: ModuleType) -> None:
    """After the retries the last error is raised, as an OSError."""
    with scripted(NOTHING) as script, pytest.raises(OSError, match="closed connection"):
        library.get_with_retries(script.base, "/", TIMEOUT, retries=4)

    assert len(script.requests) == 5


@pytest.mark.parametrize("answer", [pytest.param(BUSY, id="503"), pytest.param(NOTHING, id="none")])
def test_retries_end_with_the_time_for_them(
    library: ModuleType, waits: list[float], answer: bytes
) -> None:
    """A failure after the deadline is the last one, however many retries are left."""
    with scripted(answer) as script:
        try:
            library.get_with_retries(script.base, "/", TIMEOUT, retries=4, within=0.0)
        except OSError:
            assert answer == NOTHING

    assert (len(script.requests), waits) == (1, [])


@pytest.mark.usefixtures("waits")
def test_an_error_of_the_client_is_not_repeated(library: ModuleType) -> None:
    """A 404 stays a 404."""
    with scripted(BUSY.replace(b"503", b"404")) as script:
        answer: Answer = library.get_with_retries(script.base, "/", TIMEOUT)

    assert (answer.status, len(script.requests)) == (404, 1)


@pytest.mark.usefixtures("waits")
def test_a_post_is_not_repeated(library: ModuleType) -> None:
    """Nobody knows what a POST that failed has done, so it is sent once."""
    wanted = Wanted("POST", "/", form=(("a", "1"),), retries=3)
    with scripted(BUSY) as script:
        answer: Answer = library.send(script.base, wanted, TIMEOUT, None, print)

    assert (answer.status, len(script.requests)) == (503, 1)


def test_waits_double_and_differ(library: ModuleType, waits: list[float]) -> None:
    """Each wait is longer than the one before, up to the longest, and no two clients' alike."""
    with scripted(BUSY) as script:
        library.get_with_retries(script.base, "/", TIMEOUT, retries=8, backoff=0.1)
        first, waits[:] = waits[:], []
        library.get_with_retries(script.base, "/", TIMEOUT, retries=8, backoff=0.1)

    assert len(first) >= 7
    assert first == sorted(first)
    assert 1 < first[-1] / first[-3] <= 8
    assert max(first) <= LONGEST_WAIT
    assert first != waits


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        pytest.param("2", pytest.approx(2), id="seconds"),
        pytest.param(formatdate(time.time() + 3600, usegmt=True), LONGEST_WAIT, id="a date"),
        pytest.param("3600", LONGEST_WAIT, id="more than the longest wait"),
    ],
)
def test_retry_after_says_how_long_to_wait(
    library: ModuleType, waits: list[float], asked: str, waited: float
) -> None:
    """What the server asks for goes before the client's own backoff, up to a cap."""
    busy = BUSY.replace(b"\r\n\r\n", f"\r\nRetry-After: {asked}\r\n\r\n".encode())
    with scripted(busy, OK) as script:
        answer: Answer = library.get_with_retries(script.base, "/", TIMEOUT, backoff=0.001)

    assert (answer.status, waits) == (200, [waited])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK.replace(b"fine", b"fi"), id="shorter than announced"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n", id="a chunk less"
        ),
    ],
)
def test_a_body_that_breaks_off_is_an_error(library: ModuleType, answer: bytes) -> None:
    """Half a body is never taken for a whole one, streamed or not."""
    with scripted(answer) as script:
        with pytest.raises(OSError, match=r"incomplete|IncompleteRead|ended prematurely"):
            library.download(script.base, "/", io.BytesIO(), TIMEOUT, lambda *_: None)
        with pytest.raises(OSError, match=r"incomplete|IncompleteRead|ended prematurely"):
            library.get(script.base, "/", {}, TIMEOUT)


def test_what_is_not_http_is_an_error(library: ModuleType) -> None:
    """A server of another protocol is an OSError, as everything that keeps an answer away."""
    with scripted(b"SSH-2.0-OpenSSH_10.0\r\n") as script, pytest.raises(OSError, match="SSH"):
        library.get(script.base, "/", {}, TIMEOUT)


def test_a_server_that_is_not_there_is_an_error(library: ModuleType) -> None:
    """A refused connection is an OSError that says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(OSError, match="refused") as failed:
        library.get(f"http://127.0.0.1:{port}", "/", {}, TIMEOUT)

    wanted = ConnectionRefusedError if library is with_urllib else requests.ConnectionError
    assert failed.type is wanted
