"""The handshake: both sides prove that they know the key, without sending it.

Each side sends random bytes and gets back their HMAC under the shared key: first the server
challenges the client, then the client the server (CPython, Lib/multiprocessing/connection.py,
"Authentication Handshake Protocol Description"). A challenge that begins with `{sha256}` asks
for that digest. Python 3.12 and newer answer with the digest's name in front; older clients take
the whole challenge as random bytes and answer with a bare HMAC-MD5 of 16 bytes, and send
challenges of 20 bytes that want the same.

The handshake keeps strangers out, and that is all: nothing after it is encrypted or signed, a
peer in the middle can relay it unnoticed, and MD5 answers are still accepted, except where Python
has no MD5 (FIPS 140): there the older clients are refused, and they alone.
"""

import hmac
import os
from collections.abc import Generator
from multiprocessing import AuthenticationError

CHALLENGE = b"#CHALLENGE#"
WELCOME = b"#WELCOME#"
FAILURE = b"#FAILURE#"

MAX_MESSAGE = 256  # bytes during the handshake; the standard library reads no more
MD5_SIZE = 16  # bytes
DIGESTS = {b"md5", b"sha256", b"sha384", b"sha3_256", b"sha3_384"}


def server(key: bytes) -> Generator[bytes, bytes, None]:
    """Be the server's side: yield each message to send, be sent each one received.

    Returns when both sides have proved that they know the key. Raises AuthenticationError when the
    client has not; whoever drives the handshake then sends `FAILURE` and closes.
    """
    challenge = b"{sha256}" + os.urandom(32)
    answer = yield CHALLENGE + challenge
    if not proves(key, challenge, answer):
        raise AuthenticationError("the client does not know the key")

    challenge = yield WELCOME
    if not challenge.startswith(CHALLENGE):
        raise AuthenticationError("the client did not send a challenge")
    verdict = yield respond(key, challenge.removeprefix(CHALLENGE))
    if verdict != WELCOME:
        raise AuthenticationError("the client refused our answer")


def proves(key: bytes, challenge: bytes, answer: bytes) -> bool:
    """Whether `answer` is the HMAC of our challenge, of a named digest or of MD5 without a name."""
    if len(answer) == MD5_SIZE:
        digest, mac = b"md5", answer
    else:
        digest, mac = named_digest(answer)
    if digest not in DIGESTS:
        return False
    return hmac.compare_digest(code(key, challenge, digest), mac)


def respond(key: bytes, challenge: bytes) -> bytes:
    """Return our answer to the client's challenge, in the form that the challenge asks for."""
    digest, _ = named_digest(challenge)
    if digest in DIGESTS:
        return b"{%b}" % digest + code(key, challenge, digest)
    if len(challenge) == 20:
        return code(key, challenge, b"md5")
    raise AuthenticationError("the client's challenge names an unknown digest")


def code(key: bytes, challenge: bytes, digest: bytes) -> bytes:
    """Return the HMAC; raises AuthenticationError for a digest that this Python does not have."""
    try:
        return hmac.new(key, challenge, digest.decode()).digest()
    except ValueError as error:
        raise AuthenticationError(f"no {digest.decode()} here: {error}") from None


def named_digest(message: bytes) -> tuple[bytes, bytes]:
    """Split `{digest}rest` into its two parts; the digest is empty where none is named."""
    if message.startswith(b"{") and b"}" in message:
        digest, _, rest = message[1:].partition(b"}")
        return digest, rest
    return b"", message
