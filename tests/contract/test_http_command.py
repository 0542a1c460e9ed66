"""`python -m clients http`: every recipe from the command line, with urllib and with requests."""

import argparse
import json
from pathlib import Path

import pytest

from clients.addresses import Address
from clients.http import command
from tests.support.drivers import DRIVERS, Driver, serving
from tests.support.pace import FAR
from tests.support.processes import Server
from tests.support.scripted import BUSY, scripted

TIMEOUT = FAR  # seconds; only tests of something else than timeouts have it


@pytest.fixture(scope="module")
def driver() -> Driver:
    """Name the driver."""
    return DRIVERS["httpbin"][0]


def run(arguments: list[str], address: Address) -> None:
    """Do what `python -m clients http ARGUMENTS` does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--timeout", type=float, default=TIMEOUT)
    command.configure(parser)
    command.command(parser.parse_args(arguments), address)


@pytest.fixture(params=["urllib", "requests"])
def option(request: pytest.FixtureRequest) -> str:
    """Return the option that chooses a library."""
    return f"--library={request.param}"


def test_the_body_goes_to_stdout_and_the_status_to_stderr(
    server: Server, option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The output can be piped into what reads JSON."""
    run(["get", "/get?a=1", "b=2", "b=3", option], server.address)

    out, err = capfd.readouterr()
    assert json.loads(out)["args"] == {"a": "1", "b": ["2", "3"]}
    assert err == "200 OK\n"


def test_include_prints_status_and_headers_before_the_body(
    server: Server, option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """With -i the output is a whole answer; every one of two equal headers is there."""
    path = "/response-headers?Set-Cookie=a%3D1&Set-Cookie=b%3D2"
    run(["-i", "GET", path, option], server.address)

    head, _, body = capfd.readouterr().out.partition("\n\n")
    lines = head.split("\n")
    assert lines[0] == "200 OK"
    assert [line for line in lines if "Cookie" in line] == ["Set-Cookie: a=1", "Set-Cookie: b=2"]
    assert json.loads(body)["Set-Cookie"] == ["a=1", "b=2"]


def test_options_make_up_one_request(
    server: Server, option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Query, form, file, headers and credentials go together."""
    file = tmp_path / "file.txt"
    file.write_text("Hello, world.")

    run(
        [
            *("PUT", "/put", "q=1", "--form", "a=1", "-F", "b=x=y", "--file", str(file), option),
            *("-H", "Spam: Eggs", "-H", "User-Agent: none", "--user", "user:pass:word"),
        ],
        server.address,
    )

    seen = json.loads(capfd.readouterr().out)
    assert seen["args"] == {"q": "1"}
    assert seen["form"] == {"a": "1", "b": "x=y"}
    assert seen["files"] == {"file": "Hello, world."}
    assert seen["headers"]["Spam"] == "Eggs"
    assert seen["headers"]["User-Agent"] == "none"
    assert seen["headers"]["Authorization"] == "Basic dXNlcjpwYXNzOndvcmQ="


def test_all_files_are_sent(option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each option adds one; rest lists what it gets, where httpbin shows the first."""
    files = [tmp_path / name for name in ("one", "two", "three")]
    for file in files:
        file.write_text(file.name)
    with serving(DRIVERS["rest"][0]) as server:
        options = [f"--file={file}" for file in files]
        run(["POST", "/files", *options, "-H", "Accept: application/json", option], server.address)
    assert [row["name"] for row in json.loads(capfd.readouterr().out)] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        pytest.param(["GET", "/redirect/1"], "200 OK", id="redirect"),
        pytest.param(["GET", "/redirect/1", "--no-redirect"], "302 FOUND", id="no redirect"),
        pytest.param(["GET", "/basic-auth/u/p", "-u", "u:p"], "200 OK", id="right password"),
        pytest.param(["GET", "/basic-auth/u/p", "-u", "u:x"], "401 UNAUTHORIZED", id="wrong"),
        pytest.param(["HEAD", "/redirect/1"], "200 OK", id="HEAD"),
        pytest.param(["DELETE", "/delete"], "200 OK", id="DELETE"),
        pytest.param(["GET", "/status/404"], "404 NOT FOUND", id="error"),
    ],
)
def test_the_status_is_printed(
    server: Server,
    option: str,
    options: list[str],
    status: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Every status is an answer."""
    run([*options, option], server.address)

    assert capfd.readouterr().err == f"{status}\n"


def test_output_takes_the_body(
    server: Server, option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With --output the body ends in the file and nowhere else."""
    file = tmp_path / "letters"

    run(["GET", "/range/100000", "--output", str(file), option], server.address)

    assert file.read_bytes()[:26] == b"abcdefghijklmnopqrstuvwxyz"
    assert file.stat().st_size == 100_000
    assert capfd.readouterr() == ("", "200 OK\n")


@pytest.mark.usefixtures("waits")
def test_retries_repeat_the_request(option: str) -> None:
    """--retries counts what comes after the first attempt."""
    with scripted(BUSY) as script:
        run(["GET", "/", "--retries", "2", option], script.address)

    assert len(script.requests) == 3


def test_without_retries_there_is_one_request(option: str) -> None:
    """Nothing is repeated that nobody asked to repeat."""
    with scripted(BUSY) as script:
        run(["GET", "/", option], script.address)

    assert len(script.requests) == 1


def test_the_timeout_is_an_oserror(server: Server, option: str) -> None:
    """--timeout ends the wait, with an error that says what happened."""
    with pytest.raises(OSError, match="timed out"):
        run(["GET", "/delay/2", "--timeout", "0.2", option], server.address)
