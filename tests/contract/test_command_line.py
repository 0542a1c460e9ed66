"""The command line of the clients, with the servers up: values, headers, and where it writes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clients.addresses import variable
from clients.cli.main import main
from lab import ROOT
from tests.support.drivers import DRIVERS, serving
from tests.support.pace import FAR
from tests.support.processes import run

CLIENTS = ["python", "-m", "clients"]

Environment = dict[str, str]


@pytest.fixture(scope="module")
def environment() -> Iterator[Environment]:
    """Run the default server of each service; return what tells clients where they are."""
    with ExitStack() as stack:
        told = {
            variable(service): str(stack.enter_context(serving(default)).address)
            for service, (default, *_) in DRIVERS.items()
        }
        yield told | {"WIRELAB_AUTHKEY_FILE": os.environ["WIRELAB_AUTHKEY_FILE"]}


Said = Callable[..., str]


@pytest.fixture
def said(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Said:
    """Return a function that runs the clients, who have nothing to complain about, in this process.

    It returns what they print.
    """
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def clients(*arguments: str) -> str:
        assert main(list(arguments)) == 0
        sys.stdout.flush()
        printed, errors = capfd.readouterr()
        assert errors == ""
        return printed

    return clients


# ---- where it writes ----

PRINTING = {
    "exercise": [],
    "exercise as JSON": ["--json"],
    "tcp-echo": ["tcp-echo", "hello"],
    "udp-time": ["udp-time", "-c", "3", "-i", "0.001"],
    "http": ["http", "GET", "/get", "-i"],
    "http, the body alone": ["http", "GET", "/get"],
    "http with requests": ["http", "GET", "/get", "--library", "requests"],
    "rest hello": ["rest", "hello", "Guido"],
    "rest GET": ["rest", "GET", "/"],
    "kv keys": ["kv", "keys"],
    "kv get": ["kv", "get", "spam"],
    "kv exists": ["kv", "exists", "spam"],
    "kv increment": ["kv", "increment", "visits"],
    "kv compare-and-set": ["kv", "compare-and-set", "lock", "None", "me"],
    "object-echo": ["object-echo", "[1, 2, 3]"],
    "rpc": ["rpc", "add", "2", "3"],
    "rpc, the functions": ["rpc"],
    "cidr": ["cidr", "10.0.0.0/8"],
    "cidr --list": ["cidr", "10.0.0.0/8", "--list"],
    "help": ["--help"],
    "help of a subcommand": ["kv", "--help"],
}


LONG = {  # for so long that who reads the first line has stopped before the last one is written
    "exercise": [],
    "udp-time": ["udp-time", "-c", "300", "-i", "0.1"],
    "cidr --list": ["cidr", "10.0.0.0/8", "--list"],
}
BESIDE = ("http, the body alone", "http with requests")  # whose status goes to stderr


def popen(
    environment: Environment,
    arguments: list[str],
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> "subprocess.Popen[str]":
    """Start the clients with their output somewhere else."""
    return subprocess.Popen(
        [sys.executable, "-m", "clients", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
    )


@pytest.fixture(scope="module", autouse=True)
def _spam(environment: Environment) -> None:
    """Have something to get."""
    run([*CLIENTS, "kv", "set", "spam", "eggs"], **environment)


@pytest.mark.parametrize("what", PRINTING)
def test_nobody_who_reads_is_no_error(environment: Environment, what: str) -> None:
    """It ends as other programs that SIGPIPE ends, which has the status 141, and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    with popen(environment, PRINTING[what], stdout=writer) as process:
        os.close(writer)
        _, errors = process.communicate(timeout=FAR)
    assert errors == ("200 OK\n" if what in BESIDE else "")
    assert process.returncode == 141


@pytest.mark.parametrize("what", LONG)
def test_a_reader_that_stops_in_the_middle_is_no_error(environment: Environment, what: str) -> None:
    """As `| head -1` does: the line that it has read is there."""
    with popen(environment, LONG[what]) as process:
        assert process.stdout
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == ""
        assert process.wait(FAR) == 141


@pytest.mark.parametrize("what", PRINTING)
def test_a_full_disk_is_named(environment: Environment, what: str) -> None:
    """It is no fault of a server, and also seen where little is written, at the very end."""
    with (
        Path("/dev/full").open("w") as full,
        popen(environment, PRINTING[what], stdout=full.fileno()) as process,
    ):
        _, errors = process.communicate(timeout=FAR)
    *_, last = errors.splitlines()
    assert last == "clients: cannot write to standard output: No space left on device"
    assert len(errors.splitlines()) == (2 if what in BESIDE else 1)
    assert process.returncode == 1


@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1 2"])
@pytest.mark.parametrize("what", ["tcp-echo", "kv get", "http", "object-echo"])
def test_streams_that_are_closed_are_not_those_of_a_server(
    environment: Environment, what: str, closed: str
) -> None:
    """The next socket would have their number, and what is printed would be sent to the server."""
    redirections = " ".join(f"{number}>&-" for number in closed.split())
    done = subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$@" {redirections}',
            "sh",
            sys.executable,
            "-m",
            "clients",
            *PRINTING[what],
        ],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=FAR,
        check=False,
    )
    if "1" not in closed:
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout
    else:
        message = "clients: cannot write to standard output: Bad file descriptor\n"
        assert done.returncode == 1
        assert (done.stdout, done.stderr) == ("", message if "2" not in closed else "")


def test_messages_that_cannot_be_written_change_nothing(environment: Environment) -> None:
    """The body is there all the same, and the exit status."""
    with Path("/dev/full").open("w") as full:
        for what, status in (("http, the body alone", 0), ("kv get", 0)):
            with popen(environment, PRINTING[what], stderr=full.fileno()) as process:
                assert process.communicate(timeout=FAR)[0]
            assert process.returncode == status
        done = subprocess.run(
            [sys.executable, "-m", "clients", "cidr", "10.0.0.0/33"],
            cwd=ROOT,
            stderr=full,
            check=False,
        )
    assert done.returncode == 2


def test_a_file_that_cannot_be_written_is_named(environment: Environment) -> None:
    """The body that does not fit, the picture, and the file that cannot be made."""
    done = run([*CLIENTS, "http", "GET", "/range/100000", "-o", "/dev/full"], **environment)
    assert done.stderr == "clients: cannot write to '/dev/full': No space left on device\n"
    assert done.returncode == 1
    done = run([*CLIENTS, "--svg", "/dev/full"], **environment)
    assert done.stderr == "clients: cannot write to '/dev/full': No space left on device\n"
    assert " checks held" in done.stdout
    assert done.returncode == 1
    done = run([*CLIENTS, "--svg", "/nowhere/picture.svg"], **environment)
    assert done.stderr == (
        "clients: --svg has value '/nowhere/picture.svg'. Not a file that can be written:"
        " No such file or directory\n"
    )
    assert (done.returncode, done.stdout) == (2, "")


def test_what_a_terminal_has_no_character_for_is_escaped(
    environment: Environment, said: Said
) -> None:
    """An old locale is no reason to print nothing."""
    assert said("kv", "set", "snow", "☃ in Zürich") == ""
    done = run([*CLIENTS, "kv", "get", "snow"], **environment, PYTHONIOENCODING="ascii")
    assert (done.stdout, done.stderr) == ("'\\u2603 in Z\\xfcrich'\n", "")


TERMINAL = """
import os, pty, sys
os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="40")
os.environ.update(word.split("=") for word in sys.argv[1:])
for name in ("NO_COLOR", "FORCE_COLOR"):
    if not os.environ.get(name): os.environ.pop(name, None)
sys.exit(os.waitstatus_to_exitcode(pty.spawn([sys.executable, "-m", "clients"])))
"""


@pytest.mark.parametrize(
    ("setting", "colours", "moves"),
    [("", True, True), ("NO_COLOR=1", False, True), ("TERM=dumb", False, False)],
)
def test_a_terminal_gets_what_it_can_show(
    environment: Environment, setting: str, colours: bool, moves: bool
) -> None:
    """Colours unless they are not wanted, and on a dumb one plain lines instead of a spinner."""
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL, *setting.split()],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FAR,
        check=False,
    )
    assert " checks held" in done.stdout
    assert bool(re.search(r"\x1b\[[\d;]*3[12]m", done.stdout)) == colours
    assert ("\x1b[?25l" in done.stdout) == moves  # the cursor is hidden
    assert ("ok     tcp-echo " in done.stdout) != moves


# ---- values ----

ECHOED = [
    "5 # five", "'a' 'b'", "1_000", "-1e3", "-0x10", "-(1)", "-inf", "-x", "-hello", "-", "-1", "",
    "[1,2]", "{'a': [1, b'x']}", "inf", "a=b", "datetime.date(2012, 8, 15)", "{3, 1, 2}",
]  # fmt: skip
SHOWN = {
    "-1e3": "-1000.0", "-0x10": "-16", "-1": "-1", "[1,2]": "[1, 2]",
    "{'a': [1, b'x']}": "{'a': [1, b'x']}", "{3, 1, 2}": "{1, 2, 3}",
    "datetime.date(2012, 8, 15)": "datetime.date(2012, 8, 15)",
}  # fmt: skip
NOT_IN_XML_RPC = ("datetime.date(2012, 8, 15)", "{3, 1, 2}")


@pytest.mark.parametrize("value", ECHOED, ids=ascii)
def test_all_that_take_a_value_read_it_alike(said: Said, value: str) -> None:
    """Text, or a literal of which nothing is lost; a hyphen in front makes no option of it."""
    shown = SHOWN.get(value, repr(value))
    assert said("object-echo", value) == f"{shown}\n"
    assert said("rpc", "add", "[]", f"[{shown}]") == f"[{shown}]\n"
    if value not in NOT_IN_XML_RPC:
        assert said("kv", "set", "x", value) == ""
        assert said("kv", "get", "x") == f"{shown}\n"
        assert said("kv", "compare-and-set", "x", value, value) == "True\n"


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["add", "-1e3", "2"], "-998.0"),
        (["add", "2", "-0x10"], "-14"),
        (["sub", "-5", "-7"], "2"),
        (["sub", "y=-3", "x=-.5"], "2.5"),
        (["add", "-x", "-y"], "'-x-y'"),
        (["add", "-inf", "!"], "'-inf!'"),
        (["--timeout", "3", "add", "-1", "-1"], "-2"),
        (["add", "-1", "-1", "--timeout", "3"], "-2"),
        (["add", "--", "--x", "-1"], None),
        (["add", "--", "--x", "-y"], "'--x-y'"),
    ],
)
def test_rpc_takes_values_that_begin_with_a_hyphen(
    environment: Environment, arguments: list[str], printed: str | None
) -> None:
    """By position and by keyword, before options and after them."""
    done = run([*CLIENTS, "rpc", *arguments], **environment)
    if printed is None:
        assert done.stderr.startswith("clients: add raised TypeError: ")
    else:
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{printed}\n", "")


def test_every_subcommand_takes_text_that_begins_with_a_hyphen(said: Said) -> None:
    """A name, a word, a line."""
    assert said("tcp-echo", "-n", "-hello") == "-n -hello\n"
    assert "<h1>Hello -x!</h1>" in said("rest", "hello", "-x")
    assert '"name": "-1"' in said("rest", "POST", "/hello", "-d", "name=-1", "--as", "json")
    assert said("kv", "set", "-name", "-5") == ""
    assert said("kv", "get", "-name") == "-5\n"
    assert said("kv", "compare-and-set", "-name", "-5", "-6") == "True\n"
    assert said("kv", "delete", "-name") == ""
    assert said("cidr", "10.0.0.0/8", "--at", "-2") == "10.255.255.254\n"


def test_an_option_that_there_is_not_says_how_to_send_it_as_text(environment: Environment) -> None:
    """Else a slip would be sent."""
    done = run([*CLIENTS, "rpc", "add", "--timout", "3"], **environment)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: clients rpc ")
    said = "--timout 3: perhaps --timeout; what comes after `--` is text"
    assert done.stderr.endswith(f"error: unrecognized arguments: {said}\n")


def test_a_keyword_that_is_given_twice_is_named(environment: Environment) -> None:
    """The first one is not forgotten in silence."""
    done = run([*CLIENTS, "rpc", "sub", "x=1", "y=2", "x=3"], **environment)
    message = "clients: the argument 'x' is given twice, the second time '3'\n"
    assert (done.returncode, done.stderr) == (2, message)


TYPES = (
    "{'array': [[b'x', [datetime.datetime(1998, 7, 17, 14, 8, 55)]], {'deep': {'er': b''}}],"
    " 'base64': b'\\x00\\xff', 'boolean': True,"
    " 'dateTime': datetime.datetime(2012, 8, 15, 20, 35, 8), 'double': 0.1, 'int': -5,"
    " 'nil': None, 'string': \"it's\"}"
)  # the members of a struct are in the order in which kv returns them


def test_every_type_of_xml_rpc_is_printed_as_it_can_be_typed(said: Said) -> None:
    """At any depth; what is printed is set again, and compared."""
    assert said("kv", "set", "types", TYPES) == ""
    printed = said("kv", "get", "types")
    assert printed == f"{TYPES}\n"
    again = printed.rstrip("\n")
    assert said("kv", "compare-and-set", "types", again, "[b'y']") == "True\n"
    assert said("kv", "get", "types") == "[b'y']\n"


@pytest.mark.parametrize(
    "value",
    [
        "datetime.datetime(2012, 8, 15, 20, 35, 8, 5)",
        "[{'a': datetime.datetime(2012, 8, 15, 20, 35, 8, tzinfo=datetime.timezone.utc)}]",
    ],
)
def test_a_datetime_of_which_something_would_be_lost_is_refused(
    environment: Environment, value: str
) -> None:
    """It is named, and nothing is sent."""
    for arguments in (["set", "x", value], ["compare-and-set", "x", "1", value]):
        done = run([*CLIENTS, "kv", *arguments], **environment)
        assert done.returncode == 2
        assert done.stderr.startswith("clients: datetime.datetime(2012, 8, 15, 20, 35, 8, ")
        assert done.stderr.endswith(" has no form in XML-RPC: no zone, no fractions of a second\n")


def test_a_name_that_a_line_would_not_show_is_quoted(said: Said) -> None:
    """One of two lines, an empty one, and one that looks as if it were quoted."""
    names = {"two\nlines": r"'two\nlines'", "": "''", "'quoted'": "\"'quoted'\"", "Zoë": "Zoë"}
    for name in names:
        said("kv", "set", name, "1")
    printed = said("kv", "keys").splitlines()
    assert set(names.values()) <= set(printed)
    for name in names:
        said("kv", "delete", name)
    assert not set(names.values()) & set(said("kv", "keys").splitlines())


# ---- headers ----


@pytest.mark.parametrize("library", ["urllib", "requests"])
def test_headers_of_one_name_are_all_sent(environment: Environment, library: str) -> None:
    """As one line, whatever letters are large; an empty one is sent, and adds nothing to others."""
    given = [
        *("X-A: 1", "x-a: 2", "X-A: 3", "Cookie: a=1", "Cookie:", "cookie: b=2; c=3"),
        *("X-Empty:", "X-Half:", "X-Half: 2"),
    ]
    arguments = [word for header in given for word in ("-H", header)]
    done = run([*CLIENTS, "http", "GET", "/get", "--library", library, *arguments], **environment)
    headers = json.loads(done.stdout)["headers"]
    assert headers["X-A"] == "1, 2, 3"
    assert headers["Cookie"] == "a=1; b=2; c=3"
    assert headers["X-Empty"] == ""
    assert headers["X-Half"] == "2"


def test_rest_sends_them_too(
    environment: Environment, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here they go to httpbin, which says what it got."""
    monkeypatch.setenv(variable("rest"), environment[variable("httpbin")])
    given = [
        "X-A: 1",
        "x-a: 2",
        "Cookie: a=1",
        "Cookie: b=2",
        "X-Empty:",
        "content-type: text/plain",
    ]
    arguments = [word for header in given for word in ("-H", header)]
    printed = said("rest", "POST", "/post", "-d", "a=", *arguments)
    answer = json.loads(printed.partition("\n\n")[2])
    assert answer["headers"]["X-A"] == "1, 2"
    assert answer["headers"]["Cookie"] == "a=1; b=2"
    assert answer["headers"]["X-Empty"] == ""
    assert answer["headers"]["Content-Type"] == "text/plain"
    assert answer["data"] == "a="


@pytest.mark.parametrize("header", ["X-A", "X A: 1", "X-A: 1\nX-B: 2", ": 1", ""])
def test_rest_refuses_what_is_no_header(environment: Environment, header: str) -> None:
    """By the same words as http."""
    done = run([*CLIENTS, "rest", "GET", "/", "-H", header], **environment)
    assert done.returncode == 2
    assert done.stderr.endswith(f"-H/--header: {header!r} is not 'NAME: VALUE'\n")
