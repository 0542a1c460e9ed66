"""Random requests, split and mutated at random: the protocol and its parser stay in step."""

import re
from random import Random

import httptools
import pytest

from services.http.protocol import Protocol
from tests.unit.test_http_protocol import new_protocol, respond

SEEDS = range(100)
PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"0\r\n\r\n", b" ", b"\t", b"\0", b":", b",", b";", b"=",
    b'"', b"chunked", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 1\r\n", b"Host: y\r\n",
    b"Content-Length: ", b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Expect: 100-continue\r\n",
    b"HTTP/1.0", b"HTTP/1.1", b"HTTP/1.2", b"http://x", b"PRI * HTTP/2.0\r\n\r\n", b"CONNECT ",
    b"-1", b"fffffff", b"\x80", b"\xff", b"Content-Length: " + 5000 * b"0", b"DESCRIBE ", b"%",
]  # fmt: skip

Found = tuple[str, str, dict[str, str], bytes]


def chunks(random: Random, body: bytes) -> bytes:
    """Return a body in chunks of random sizes, some with extensions, and maybe with trailers."""
    encoded = b""
    while body:
        size = random.randint(1, len(body))
        zeros = b"0" * random.choice([0, 0, 0, 3])
        extension = random.choice([b"", b"", b";a", b";a=b;c", b';a="x;y"'])
        encoded += b"%b%x%b\r\n%b\r\n" % (zeros, size, extension, body[:size])
        body = body[size:]
    return encoded + b"0\r\n" + random.choice([b"", b"X: y\r\n", b"X: y\r\nZ:\r\n"]) + b"\r\n"


def random_request(random: Random) -> tuple[bytes, Found]:
    """Return a valid request, and what it says."""
    method = random.choice(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
    target = random.choice(["/", "/a%20b?c=d", "/" + "x" * random.randint(0, 300), "http://x/y"])
    body = random.randbytes(random.choice([0, 1, 10, 1000]))
    if random.random() < 0.3:  # that is where a parser could take the end of a chunk for its own
        body = body.replace(b"\0", b"\r\n0\r\n\r\n")
    headers = {"Host": "x", **{f"X-{n}": "v" * random.randint(0, 50) for n in range(3)}}
    if random.random() < 0.2:
        headers |= {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}
    if random.random() < 0.5:
        headers["Transfer-Encoding"] = random.choice(["chunked", "Chunked"])
    elif body or random.random() < 0.5:
        headers["Content-Length"] = str(len(body)).rjust(random.choice([0, 0, 0, 20]), "0")
    else:
        body = b""
    version = random.choice(["HTTP/1.1", "HTTP/1.1", "HTTP/1.2"])
    lines = [f"{method} {target} {version}", *(f"{key}: {text}" for key, text in headers.items())]
    encoded = chunks(random, body) if "Transfer-Encoding" in headers else body
    line_ends = random.choice(["", "", "", "\r\n", "\r", "\n\r\n"])
    raw = (line_ends + "\r\n".join([*lines, "", ""])).encode() + encoded
    return raw, (method, target, {key.lower(): text for key, text in headers.items()}, body)


def serve(protocol: Protocol, random: Random, stream: bytes) -> list[Found]:
    """Receive a stream in pieces of random sizes; return the requests that it holds."""
    found = []
    mean = random.choice([1, 3, 50, 5000])
    while stream and not protocol.closed:
        size = random.randint(1, 2 * mean)
        protocol.receive_data(stream[:size])
        stream = stream[size:]
        while request := protocol.next_request():
            said = request.method, request.target, dict(request.headers), bytes(request.body)
            found.append(said)
            respond(protocol)
            protocol.sent(len(protocol.data_to_send()))
        protocol.sent(len(protocol.data_to_send()))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_valid_requests_are_found_wherever_the_stream_is_split(seed: int) -> None:
    """Several on one connection, with bodies of either kind, which may look like ends of chunks."""
    random = Random(seed)  # noqa: S311 - to be repeated
    requests = [random_request(random) for _ in range(random.randint(1, 5))]
    stream = b"".join(raw for raw, _ in requests)
    for _ in range(5):
        protocol = new_protocol()
        assert serve(protocol, random, stream) == [said for _, said in requests]
        assert protocol.error is None
        assert protocol.buffered == 0


def mutated(random: Random, stream: bytes) -> bytes:
    """Return a stream with up to three things wrong with it."""
    data = bytearray(stream)
    for _ in range(random.randint(1, 3)):
        place, size = random.randrange(len(data) + 1), random.randint(0, 20)
        match random.randrange(4):
            case 0 if place < len(data):
                data[place] ^= 1 << random.randrange(8)
            case 1:
                del data[place : place + size]
            case 2:
                data[place:place] = random.choice(PIECES)
            case _:
                data[place : place + size] = random.choice(PIECES)
    return bytes(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_received_nothing_but_an_error_for_the_client_comes_of_it(seed: int) -> None:
    """And the same requests are found before that, wherever the stream is split."""
    random = Random(seed)  # noqa: S311 - to be repeated
    for _ in range(20):
        stream = mutated(random, b"".join(random_request(random)[0] for _ in range(2)))
        outcomes = []
        for _ in range(3):
            protocol = new_protocol()
            found = serve(protocol, random, stream)
            outcomes.append((found, bool(protocol.error)))
        assert outcomes[0] == outcomes[1] == outcomes[2], stream


class Recorder:
    """The bodies of requests, from the callbacks of a parser."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def on_message_begin(self) -> None:
        """Start a body."""
        self.bodies.append(b"")

    def on_body(self, data: bytes) -> None:
        """Add to a body."""
        self.bodies[-1] += data


@pytest.mark.parametrize("seed", SEEDS)
def test_bodies_are_those_that_the_parser_finds_by_itself(seed: int) -> None:
    """In a stream that it gets as a whole, and in which it has to know where requests end."""
    random = Random(seed)  # noqa: S311 - to be repeated
    stream = b"".join(random_request(random)[0] for _ in range(4))
    stream = re.sub(rb"Connection: [^\r]+\r\nUpgrade: h2c\r\n", b"", stream)
    recorder = Recorder()
    httptools.HttpRequestParser(recorder).feed_data(stream.replace(b"HTTP/1.2", b"HTTP/1.1"))
    assert [said[3] for said in serve(new_protocol(), random, stream)] == recorder.bodies
