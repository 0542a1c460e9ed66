"""The handshake, against the standard library's and against bytes written by hand."""

import hashlib
import hmac
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path

import pytest

from lab import ROOT
from services.connection import frames, handshake
from services.connection.authkey import authkey
from services.connection.handshake import CHALLENGE, FAILURE, WELCOME
from services.runtime import SettingError

KEY = b"k" * 32
PLAIN = bytes(range(20))  # the challenge of a client of Python 3.11 or older


def old_answer(challenge: bytes) -> bytes:
    """Answer as Python 3.11 does: it takes all of the challenge as random bytes."""
    return hmac.new(KEY, challenge, "md5").digest()


def new_answer(challenge: bytes) -> bytes:
    """Answer as Python 3.12 and newer do: with the digest that the challenge names."""
    assert challenge.startswith(b"{sha256}")
    return b"{sha256}" + hmac.new(KEY, challenge, "sha256").digest()


def converse(client: Callable[["Connection[bytes, bytes]"], object], key: bytes = KEY) -> None:
    """Run our side of the handshake with a client at the other end of a pair of sockets."""
    ours, theirs = socket.socketpair()
    steps = handshake.server(key)
    with ours, Connection(theirs.detach()) as connection, ThreadPoolExecutor(1) as thread:
        done = thread.submit(client, connection)
        incoming = frames.Incoming(handshake.MAX_MESSAGE)
        message = next(steps)
        try:
            while True:
                ours.sendall(frames.encode(message))
                (answer,) = incoming.messages(ours.recv(4096))
                message = steps.send(answer)
        except StopIteration:
            pass
        except AuthenticationError:
            ours.sendall(frames.encode(FAILURE))
            raise
        finally:
            error = done.exception(5)
            if error:
                raise error


def stock(key: bytes) -> Callable[["Connection[bytes, bytes]"], None]:
    """Return the client's side as `multiprocessing.connection.Client` has it."""

    def client(connection: "Connection[bytes, bytes]") -> None:
        answer_challenge(connection, key)
        deliver_challenge(connection, key)

    return client


def test_the_standard_library_of_this_python_is_convinced_and_convinces() -> None:
    """Both sides go through the real `answer_challenge` and `deliver_challenge`."""
    converse(stock(KEY))


def test_the_standard_library_with_another_key_is_turned_away() -> None:
    """It raises what a stock client raises for a wrong key."""
    with pytest.raises(AuthenticationError, match="digest sent was rejected"):
        converse(stock(b"another key"))


@pytest.mark.parametrize(
    ("answer", "challenge", "reply"),
    [
        pytest.param(old_answer, PLAIN, old_answer(PLAIN), id="Python 3.11, MD5"),
        pytest.param(
            new_answer,
            b"{sha256}" + PLAIN,
            new_answer(b"{sha256}" + PLAIN),
            id="Python 3.13, SHA-256",
        ),
    ],
)
def test_both_generations_of_clients_are_served(
    answer: Callable[[bytes], bytes], challenge: bytes, reply: bytes
) -> None:
    """Each message is the one that CPython's description of the protocol asks for."""
    steps = handshake.server(KEY)
    first = next(steps)
    assert first.startswith(CHALLENGE + b"{sha256}")
    assert len(first) == len(CHALLENGE) + 8 + 32
    assert steps.send(answer(first.removeprefix(CHALLENGE))) == WELCOME
    assert steps.send(CHALLENGE + challenge) == reply
    with pytest.raises(StopIteration):
        steps.send(WELCOME)


def test_the_challenge_is_another_one_each_time() -> None:
    """An answer that was overheard is of no use."""
    assert next(handshake.server(KEY)) != next(handshake.server(KEY))


@pytest.mark.parametrize("name", ["md5", "sha256", "sha384", "sha3_256", "sha3_384"])
def test_each_digest_of_the_standard_library_is_honoured(name: str) -> None:
    """A client may answer with any of them, and ask for any of them."""
    steps = handshake.server(KEY)
    challenge = next(steps).removeprefix(CHALLENGE)
    prefix = b"{%b}" % name.encode()
    assert steps.send(prefix + hmac.new(KEY, challenge, name).digest()) == WELCOME
    theirs = prefix + PLAIN
    assert steps.send(CHALLENGE + theirs) == prefix + hmac.new(KEY, theirs, name).digest()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: b"x", id="garbage"),
        pytest.param(lambda _: bytes(16), id="MD5 of nothing"),
        pytest.param(lambda _: b"{sha256}", id="no digest after the name"),
        pytest.param(lambda _: b"{sha256}" + bytes(32), id="a wrong digest"),
        pytest.param(
            lambda c: b"{sha1}" + hmac.new(KEY, c, hashlib.sha1).digest(), id="a weak digest"
        ),
        pytest.param(lambda c: b"{\xff}" + c, id="a name that is no text"),
        pytest.param(lambda c: CHALLENGE + c, id="the challenge back"),
        pytest.param(lambda c: old_answer(c)[:-1], id="a byte short"),
        pytest.param(lambda c: new_answer(c) + b"x", id="a byte long"),
    ],
)
def test_a_client_that_does_not_prove_the_key_is_refused(answer: Callable[[bytes], bytes]) -> None:
    """Nothing but the HMAC under an accepted digest will do."""
    steps = handshake.server(KEY)
    challenge = next(steps).removeprefix(CHALLENGE)
    with pytest.raises(AuthenticationError, match="does not know the key"):
        steps.send(answer(challenge))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(PLAIN, id="no challenge"),
        pytest.param(CHALLENGE, id="an empty one"),
        pytest.param(CHALLENGE + PLAIN + b"x", id="21 bytes without a digest"),
        pytest.param(CHALLENGE + b"{sha1}" + PLAIN, id="a weak digest"),
        pytest.param(CHALLENGE + b"{sha256" + PLAIN, id="an open brace"),
    ],
)
def test_a_challenge_that_cannot_be_answered_ends_it(message: bytes) -> None:
    """Our own answer is never made with a digest that was not agreed on."""
    steps = handshake.server(KEY)
    challenge = next(steps).removeprefix(CHALLENGE)
    assert steps.send(old_answer(challenge)) == WELCOME
    with pytest.raises(AuthenticationError):
        steps.send(message)


@pytest.mark.parametrize("verdict", [FAILURE, b"hello"])
def test_a_client_that_refuses_us_is_not_served(verdict: bytes) -> None:
    """The failure of the second half is as final as that of the first."""
    steps = handshake.server(KEY)
    challenge = next(steps).removeprefix(CHALLENGE)
    assert steps.send(old_answer(challenge)) == WELCOME
    steps.send(CHALLENGE + PLAIN)
    with pytest.raises(AuthenticationError, match="refused our answer"):
        steps.send(verdict)


def test_a_server_that_does_not_know_the_key_is_found_out() -> None:
    """The authentication is mutual: a client that lets anyone in still gets a wrong answer."""
    steps = handshake.server(b"another key")
    challenge = next(steps).removeprefix(CHALLENGE)
    answer = hmac.new(b"another key", challenge, "md5").digest()
    assert steps.send(answer) == WELCOME
    assert steps.send(CHALLENGE + PLAIN) != old_answer(PLAIN)


NO_MD5 = """
import hashlib, hmac, sys
from multiprocessing import AuthenticationError

def without_md5(function):
    def new(*args, **kwargs):
        if "md5" in (*args, *kwargs.values()):
            raise ValueError("[digital envelope routines] unsupported")
        return function(*args, **kwargs)
    return new

hashlib.new, hmac.new = map(without_md5, (hashlib.new, hmac.new))

from services.connection import handshake

key = b"k" * 32
steps = handshake.server(key)
challenge = next(steps).removeprefix(handshake.CHALLENGE)
sha256 = lambda challenge: b"{sha256}" + hmac.new(key, challenge, "sha256").digest()
try:
    welcome = steps.send(bytes(16) if sys.argv[1] == "answers with MD5" else sha256(challenge))
    theirs = {"asks for MD5": bytes(20), "names MD5": b"{md5}" + bytes(20)}.get(
        sys.argv[1], b"{sha256}" + bytes(20)
    )
    answer = steps.send(handshake.CHALLENGE + theirs)
    print(answer == sha256(theirs))
    steps.send(handshake.WELCOME)
except StopIteration:
    print("authenticated")
except AuthenticationError as error:
    print(error)
"""
REFUSED = "no md5 here: [digital envelope routines] unsupported\n"


@pytest.mark.parametrize(
    ("client", "outcome"),
    [
        ("has SHA-256", "True\nauthenticated\n"),
        ("answers with MD5", REFUSED),
        ("asks for MD5", REFUSED),
        ("names MD5", REFUSED),
    ],
)
def test_without_md5_those_that_need_it_are_refused_and_nobody_else(
    client: str, outcome: str
) -> None:
    """Where Python's OpenSSL is one of FIPS 140, `hmac` raises ValueError for MD5."""
    done = subprocess.run(
        [sys.executable, "-c", NO_MD5, client], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == outcome


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"], ids=["none", "LF", "CRLF"])
def test_the_key_is_the_file_less_its_line_ending(tmp_path: Path, ending: bytes) -> None:
    """Editors and `echo` add one."""
    file = tmp_path / "authkey"
    file.write_bytes(KEY + ending)
    assert authkey({"WIRELAB_AUTHKEY_FILE": str(file)}) == KEY


def test_no_key_file_is_named() -> None:
    """There is no default key."""
    for environ in ({}, {"WIRELAB_AUTHKEY_FILE": ""}):
        with pytest.raises(SettingError, match=r"^WIRELAB_AUTHKEY_FILE is not set"):
            authkey(environ)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    """The message has the variable, the path and the reason."""
    path = tmp_path / "none"
    with pytest.raises(SettingError) as caught:
        authkey({"WIRELAB_AUTHKEY_FILE": str(path)})
    assert caught.value.code == f"WIRELAB_AUTHKEY_FILE: {path}: No such file or directory"


def test_a_short_key_is_refused_without_being_shown(tmp_path: Path) -> None:
    """The line ending does not count, and the message does not have the key."""
    file = tmp_path / "authkey"
    file.write_bytes(b"s" * 31 + b"\n")
    with pytest.raises(SettingError, match="has 31 characters; it takes at least 32") as caught:
        authkey({"WIRELAB_AUTHKEY_FILE": str(file)})
    assert "sss" not in str(caught.value.code)
