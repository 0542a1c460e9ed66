"""A grammar suite of HTTP/1.1: requests as they are sent, and what each says, or its error.

Each has the clause that decides: of RFC 9110 (HTTP semantics) or RFC 9112 (HTTP/1.1). Where that
leaves a server a choice, or this one is stricter or less strict, a comment says so.
"""

from collections.abc import Sized
from typing import NamedTuple

BAD, TOO_LARGE, URI_TOO_LONG, HEAD_TOO_LARGE = 400, 413, 414, 431
NOT_IMPLEMENTED, OTHER_VERSION = 501, 505


class Parsed(NamedTuple):
    """What a request says; `headers` are those beside Host."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    version: str = "HTTP/1.1"
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    body: bytes = b""
    keep_alive: bool = True


class Sent(NamedTuple):
    """A request as it is sent, what it says or the status of its error, and why."""

    data: bytes
    expected: Parsed | int
    clause: str
    in_body: bool = False  # whether the head is valid, and the error in what follows


HOST = b"Host: localhost\r\n"
HEAD_END = HOST + b"\r\n"
GET = Parsed()
OLD = Parsed(version="HTTP/1.0", keep_alive=False)

# Request lines. All have a Host, that of a name that every server in the lab accepts.
REQUEST_LINES: dict[str, tuple[bytes, Parsed | int, str]] = {
    "a path": (b"GET /a/b HTTP/1.1", Parsed(path="/a/b"), "RFC 9112, 3.2.1"),
    "a path and a query": (
        b"GET /a?b=c HTTP/1.1",
        Parsed(path="/a", query="b=c"),
        "RFC 9112, 3.2.1",
    ),
    "an empty query": (b"GET /? HTTP/1.1", GET, "RFC 9112, 3.2.1"),
    "a query of question marks": (b"GET /??? HTTP/1.1", Parsed(query="??"), "RFC 3986, 3.4"),
    "two slashes": (b"GET //a HTTP/1.1", Parsed(path="//a"), "RFC 9112, 3.2.1"),
    "dots": (b"GET /../a HTTP/1.1", Parsed(path="/../a"), "RFC 9112, 3.2.1"),
    "percent-encoding": (b"GET /%41%2f%00 HTTP/1.1", Parsed(path="/%41%2f%00"), "RFC 3986, 2.1"),
    "all that a path may have": (
        b"GET /-._~!$&'()*+,;=:@ HTTP/1.1",
        Parsed(path="/-._~!$&'()*+,;=:@"),
        "RFC 3986, 3.3",
    ),
    # These are not part of a URL. To refuse them is a SHOULD, and browsers send some.
    "what a path may not have": (
        b'GET /"<>[]\\^`{|} HTTP/1.1',
        Parsed(path='/"<>[]\\^`{|}'),
        "RFC 9112, 3.2",
    ),
    "a method of WebDAV": (b"PROPFIND / HTTP/1.1", Parsed("PROPFIND"), "RFC 9110, 16.1"),
    "a method with a hyphen": (b"M-SEARCH / HTTP/1.1", Parsed("M-SEARCH"), "RFC 9110, 9.1"),
    "an asterisk": (b"OPTIONS * HTTP/1.1", Parsed("OPTIONS", "*"), "RFC 9112, 3.2.4"),
    "a URL": (
        b"GET http://localhost/a?b HTTP/1.1",
        Parsed(path="/a", query="b"),
        "RFC 9112, 3.2.2",
    ),
    "a URL in capitals": (b"GET HTTP://LOCALHOST/ HTTP/1.1", GET, "RFC 9110, 4.2.3"),
    "a URL without a path": (b"GET http://localhost HTTP/1.1", GET, "RFC 9110, 4.2.3"),
    "a URL without a path, and a query": (
        b"GET http://localhost?a HTTP/1.1",
        Parsed(query="a"),
        "RFC 9110, 4.2.3",
    ),
    "OPTIONS of a URL without a path": (
        b"OPTIONS http://localhost HTTP/1.1",
        Parsed("OPTIONS", "*"),
        "RFC 9110, 4.2.3",
    ),
    "OPTIONS of a URL": (
        b"OPTIONS http://localhost/ HTTP/1.1",
        Parsed("OPTIONS"),
        "RFC 9110, 4.2.3",
    ),
    # A server has to use the host of the URL, or may refuse the request as misleading.
    "a URL of another host": (b"GET http://x/ HTTP/1.1", BAD, "RFC 9110, 15.5.1"),
    "a URL with another port": (b"GET http://localhost:80/ HTTP/1.1", BAD, "RFC 9112, 3.2"),
    "a URL with a user": (b"GET http://a@localhost/ HTTP/1.1", BAD, "RFC 9110, 4.2.4"),
    "a URL without a host": (b"GET http:/// HTTP/1.1", BAD, "RFC 9110, 4.2.1"),
    "a URL of https": (b"GET https://localhost/ HTTP/1.1", BAD, "RFC 9110, 7.4"),
    "a URL of ftp": (b"GET ftp://localhost/ HTTP/1.1", BAD, "RFC 9110, 7.4"),
    "a scheme without slashes": (b"GET http:a HTTP/1.1", BAD, "RFC 9112, 3.2.2"),
    "HTTP/1.0": (b"GET / HTTP/1.0", OLD, "RFC 9112, 9.3"),
    "HTTP/1.0 and a URL": (
        b"GET http://localhost/a HTTP/1.0",
        OLD._replace(path="/a"),
        "RFC 9112, 3.2.2",
    ),
    "HTTP/1.2": (b"GET / HTTP/1.2", GET, "RFC 9110, 2.5"),
    "HTTP/1.9": (b"GET /HTTP/1.9 HTTP/1.9", Parsed(path="/HTTP/1.9"), "RFC 9110, 2.5"),
    "HTTP/0.9": (b"GET / HTTP/0.9", OTHER_VERSION, "RFC 9110, 15.6.6"),
    "HTTP/2.0": (b"GET / HTTP/2.0", OTHER_VERSION, "RFC 9110, 15.6.6"),
    "HTTP/2.1": (b"GET / HTTP/2.1", OTHER_VERSION, "RFC 9110, 15.6.6"),
    "HTTP/3.0": (b"GET / HTTP/3.0", OTHER_VERSION, "RFC 9110, 15.6.6"),
    "HTTP/9.9": (b"HEAD / HTTP/9.9", OTHER_VERSION, "RFC 9110, 15.6.6"),
    "HTTP/1": (b"GET / HTTP/1", BAD, "RFC 9112, 2.3"),
    "HTTP/1.": (b"GET / HTTP/1.", BAD, "RFC 9112, 2.3"),
    "HTTP/1.10": (b"GET / HTTP/1.10", BAD, "RFC 9112, 2.3"),
    "HTTP/01.1": (b"GET / HTTP/01.1", BAD, "RFC 9112, 2.3"),
    "HTTP/1,1": (b"GET / HTTP/1,1", BAD, "RFC 9112, 2.3"),
    "HTTP/-1.1": (b"GET / HTTP/-1.1", BAD, "RFC 9112, 2.3"),
    "HTTP/x.y": (b"GET / HTTP/x.y", BAD, "RFC 9112, 2.3"),
    "a superscript as a version": (b"GET / HTTP/1.\xb9", BAD, "RFC 9112, 2.3"),
    "http/1.1": (b"GET / http/1.1", BAD, "RFC 9112, 2.3"),
    "another protocol": (b"GET / RTSP/1.0", BAD, "RFC 9112, 2.3"),
    "no version": (b"GET /", BAD, "RFC 9112, 3"),
    "no target": (b"GET HTTP/1.1", BAD, "RFC 9112, 3"),
    "no method": (b"/ HTTP/1.1", BAD, "RFC 9112, 3"),
    "a blank at the start": (b" GET / HTTP/1.1", BAD, "RFC 9112, 3"),
    "a blank at the end": (b"GET / HTTP/1.1 ", BAD, "RFC 9112, 3"),
    "two blanks before the target": (b"GET  / HTTP/1.1", BAD, "RFC 9112, 3"),
    "two blanks after the target": (b"GET /  HTTP/1.1", BAD, "RFC 9112, 3"),
    "a tab before the target": (b"GET\t/ HTTP/1.1", BAD, "RFC 9112, 3"),
    "a tab after the target": (b"GET /\tHTTP/1.1", BAD, "RFC 9112, 3"),
    "a form feed after the target": (b"GET /\x0cHTTP/1.1", BAD, "RFC 9112, 3"),
    "a blank in the target": (b"GET /a b HTTP/1.1", BAD, "RFC 9112, 3.2"),
    "a fourth word": (b"GET / HTTP/1.1 HTTP/1.1", BAD, "RFC 9112, 3"),
    "a bare CR in the target": (b"GET /\ra HTTP/1.1", BAD, "RFC 9112, 2.2"),
    "two CRs at the end": (b"GET / HTTP/1.1\r", BAD, "RFC 9112, 2.2"),
    "a NUL in the target": (b"GET /\0 HTTP/1.1", BAD, "RFC 9112, 3.2"),
    "a control character in the target": (b"GET /\x1c HTTP/1.1", BAD, "RFC 9112, 3.2"),
    "a DEL in the target": (b"GET /\x7f HTTP/1.1", BAD, "RFC 9112, 3.2"),
    "Latin-1 in the target": (b"GET /\xeb HTTP/1.1", BAD, "RFC 9112, 3.2"),
    "UTF-8 in the target": (b"GET /\xc3\xab HTTP/1.1", BAD, "RFC 9112, 3.2"),
    "a fragment": (b"GET /#a HTTP/1.1", BAD, "RFC 9112, 3.2"),
    "a query without a path": (b"GET ?a HTTP/1.1", BAD, "RFC 9112, 3.2.1"),
    "a name": (b"GET a HTTP/1.1", BAD, "RFC 9112, 3.2"),
    "a name and a port": (b"GET localhost:80 HTTP/1.1", BAD, "RFC 9112, 3.2.3"),
    "an asterisk for GET": (b"GET * HTTP/1.1", BAD, "RFC 9112, 3.2.4"),
    "an asterisk and more": (b"OPTIONS *a HTTP/1.1", BAD, "RFC 9112, 3.2.4"),
    # 405 would need a resource with other methods, and the target of CONNECT is none.
    "CONNECT": (b"CONNECT localhost:80 HTTP/1.1", NOT_IMPLEMENTED, "RFC 9110, 9.3.6"),
    "CONNECT with a path": (b"CONNECT / HTTP/1.1", NOT_IMPLEMENTED, "RFC 9110, 9.3.6"),
    "CONNECT in HTTP/1.0": (b"CONNECT localhost:80 HTTP/1.0", NOT_IMPLEMENTED, "RFC 9110, 9.3.6"),
    "an unknown method": (b"BREW / HTTP/1.1", NOT_IMPLEMENTED, "RFC 9110, 9.1"),
    "a longer method": (b"GETX / HTTP/1.1", NOT_IMPLEMENTED, "RFC 9110, 9.1"),
    "a shorter method": (b"GE / HTTP/1.1", NOT_IMPLEMENTED, "RFC 9110, 9.1"),
    "a method in small letters": (b"get / HTTP/1.1", NOT_IMPLEMENTED, "RFC 9110, 9.1"),
    "a method of RTSP": (b"DESCRIBE / HTTP/1.1", NOT_IMPLEMENTED, "RFC 9110, 9.1"),
    "a method that is no token": (b"G(T / HTTP/1.1", BAD, "RFC 9110, 9.1"),
    "a quoted method": (b'"GET" / HTTP/1.1', BAD, "RFC 9110, 9.1"),
    "Latin-1 in the method": (b"G\xcbT / HTTP/1.1", BAD, "RFC 9110, 9.1"),
}

# Header lines after the Host of a GET; what is expected are their names and values.
HEADER_LINES: dict[str, tuple[bytes, dict[str, str] | int, str]] = {
    "no blank after the colon": (b"A:b", {"a": "b"}, "RFC 9112, 5"),
    "blanks around a value": (b"A: \t b \t ", {"a": "b"}, "RFC 9112, 5.1"),
    "an empty value": (b"A:", {"a": ""}, "RFC 9110, 5.5"),
    "a value of blanks": (b"A: \t ", {"a": ""}, "RFC 9110, 5.5"),
    "a colon in a value": (b"A:: b:", {"a": ": b:"}, "RFC 9110, 5.5"),
    "a tab in a value": (b"A: b\tc", {"a": "b\tc"}, "RFC 9110, 5.5"),
    "Latin-1 in a value": (b"A: Zo\xeb", {"a": "Zoë"}, "RFC 9110, 5.5"),
    "a quoted value": (b'A: "b\\"\xeb"', {"a": '"b\\"ë"'}, "RFC 9110, 5.6.4"),
    "all that a name may have": (
        b"!#$%&'*+-.^_`|~09aZ: b",
        {"!#$%&'*+-.^_`|~09az": "b"},
        "RFC 9110, 5.1",
    ),
    "a name in other letters": (b"uSER-aGENT: b", {"user-agent": "b"}, "RFC 9110, 5.1"),
    "a name twice": (b"A: b\r\na: c", {"a": "b,c"}, "RFC 9110, 5.3"),
    "cookies twice": (b"Cookie: a=b\r\nCookie: c=d", {"cookie": "a=b; c=d"}, "RFC 9113, 8.2.3"),
    "a blank before a colon": (b"A : b", BAD, "RFC 9112, 5.1"),
    "a tab before a colon": (b"A\t: b", BAD, "RFC 9112, 5.1"),
    "a blank before a name": (b" A: b", BAD, "RFC 9112, 5.2"),
    "a line folded by a blank": (b"A: b\r\n c", BAD, "RFC 9112, 5.2"),
    "a line folded by a tab": (b"A: b\r\n\tc", BAD, "RFC 9112, 5.2"),
    "a line of a blank": (b"A: b\r\n ", BAD, "RFC 9112, 5.2"),
    "no colon": (b"A", BAD, "RFC 9112, 5"),
    "no name": (b": b", BAD, "RFC 9112, 5"),
    "a blank in a name": (b"A B: c", BAD, "RFC 9110, 5.1"),
    "a slash in a name": (b"A/B: c", BAD, "RFC 9110, 5.1"),
    "a parenthesis in a name": (b"A(: c", BAD, "RFC 9110, 5.1"),
    "a NUL in a name": (b"A\0: b", BAD, "RFC 9110, 5.1"),
    "Latin-1 in a name": (b"\xeb: b", BAD, "RFC 9110, 5.1"),
    "a CR in a name": (b"A\r: b", BAD, "RFC 9112, 2.2"),
    "a NUL in a value": (b"A: b\0c", BAD, "RFC 9110, 5.5"),
    "a CR in a value": (b"A: b\rc", BAD, "RFC 9112, 2.2"),
    # A recipient may take a bare LF for the end of a line.
    "a LF in a value": (b"A: b\nc: d", BAD, "RFC 9112, 2.2"),
    "a LF after the last value": (b"A: b\n", BAD, "RFC 9112, 2.2"),
    "two CRs after a value": (b"A: b\r", BAD, "RFC 9112, 2.2"),
    # A recipient may accept these two.
    "a control character in a value": (b"A: b\x01", BAD, "RFC 9110, 5.5"),
    "a DEL in a value": (b"A: b\x7f", BAD, "RFC 9110, 5.5"),
    "another Host": (b"Host: x", BAD, "RFC 9112, 3.2"),
    "the same Host again": (b"Host: localhost", BAD, "RFC 9112, 3.2"),
    "an empty Host again": (b"Host:", BAD, "RFC 9112, 3.2"),
    "an offer to upgrade": (
        b"Connection: upgrade\r\nUpgrade: websocket",
        {"connection": "upgrade", "upgrade": "websocket"},
        "RFC 9110, 7.8",
    ),
    # 417 is a MAY.
    "another expectation": (b"Expect: b", {"expect": "b"}, "RFC 9110, 10.1.1"),
    "an expectation without a body": (
        b"Expect: 100-continue",
        {"expect": "100-continue"},
        "RFC 9110, 10.1.1",
    ),
}

# Options of the header Connection, and whether the connection stays open.
CONNECTIONS: dict[str, tuple[str, bytes, bool, str]] = {
    "close": ("HTTP/1.1", b"close", False, "RFC 9112, 9.3"),
    "Close among others": ("HTTP/1.1", b"TE,\tClose ,x", False, "RFC 9110, 7.6.1"),
    "close after an empty option": ("HTTP/1.1", b",,close", False, "RFC 9110, 5.6.1.2"),
    "close in a second line": ("HTTP/1.1", b"TE\r\nConnection: close", False, "RFC 9110, 5.3"),
    "another option": ("HTTP/1.1", b"x-close", True, "RFC 9110, 7.6.1"),
    "keep-alive": ("HTTP/1.1", b"keep-alive", True, "RFC 9112, 9.3"),
    "close and keep-alive": ("HTTP/1.1", b"keep-alive, close", False, "RFC 9112, 9.3"),
    "close in HTTP/1.2": ("HTTP/1.2", b"close", False, "RFC 9110, 2.5"),
    "keep-alive in HTTP/1.0": ("HTTP/1.0", b"keep-alive", True, "RFC 9112, 9.3"),
    "Keep-Alive in HTTP/1.0": ("HTTP/1.0", b"Keep-Alive, TE", True, "RFC 9112, 9.3"),
    "close and keep-alive in HTTP/1.0": ("HTTP/1.0", b"keep-alive,close", False, "RFC 9112, 9.3"),
    "close in HTTP/1.0": ("HTTP/1.0", b"close", False, "RFC 9112, 9.3"),
}

# Values of Host, and whether they are accepted.
HOSTS: dict[bytes, tuple[bool, str]] = {
    b"": (True, "RFC 9110, 7.2"),
    b"localhost:": (True, "RFC 3986, 3.2.3"),
    b"localhost:80": (True, "RFC 9110, 7.2"),
    b"LOCALHOST.": (True, "RFC 3986, 3.2.2"),
    b"a_b-c.~!$&'()*+;=": (True, "RFC 3986, 3.2.2"),
    b"%C3%AB.example": (True, "RFC 3986, 3.2.2"),
    b"127.0.0.1": (True, "RFC 3986, 3.2.2"),
    b"[::1]": (True, "RFC 3986, 3.2.2"),
    b"[::ffff:127.0.0.1]:80": (True, "RFC 3986, 3.2.2"),
    b"a,b": (False, "RFC 9112, 3.2"),  # the grammar has it, and two joined lines look the same
    b"[v1.a]": (False, "RFC 3986, 3.2.2"),  # the grammar has it, and there is no such version
    b"::1": (False, "RFC 9112, 3.2"),
    b"[::1": (False, "RFC 9112, 3.2"),
    b"[::1]a": (False, "RFC 9112, 3.2"),
    b"[localhost]": (False, "RFC 9112, 3.2"),
    b"[127.0.0.1]": (False, "RFC 3986, 3.2.2"),
    b"[1:2:3]": (False, "RFC 3986, 3.2.2"),
    b"[1::2::3]": (False, "RFC 3986, 3.2.2"),
    b"[.]": (False, "RFC 3986, 3.2.2"),
    b":80": (False, "RFC 9110, 4.2.1"),
    b"localhost:http": (False, "RFC 9112, 3.2"),
    b"localhost:-1": (False, "RFC 9112, 3.2"),
    b"localhost:80:80": (False, "RFC 9112, 3.2"),
    b"localhost 80": (False, "RFC 9112, 3.2"),
    b"a@localhost": (False, "RFC 9112, 3.2"),
    b"http://localhost": (False, "RFC 9112, 3.2"),
    b"localhost/": (False, "RFC 9112, 3.2"),
    b"localhost?": (False, "RFC 9112, 3.2"),
    b"localhost#": (False, "RFC 9112, 3.2"),
    b"local\\host": (False, "RFC 9112, 3.2"),
    b'"localhost"': (False, "RFC 9112, 3.2"),
    b"%zz": (False, "RFC 9112, 3.2"),
    b"%4": (False, "RFC 9112, 3.2"),
    b"\xeb": (False, "RFC 9112, 3.2"),
}

# Header lines of a POST with what follows its head, and the body.
BODIES: dict[str, tuple[bytes, bytes, bytes | int, str]] = {
    "no length": (b"A: b", b"", b"", "RFC 9112, 6.3"),
    "a length": (b"Content-Length: 4", b"body", b"body", "RFC 9112, 6.3"),
    "a body like a request": (b"Content-Length: 7", b"GET / H", b"GET / H", "RFC 9112, 6.3"),
    "a body of line ends": (b"Content-Length: 4", b"\r\n\r\n", b"\r\n\r\n", "RFC 9112, 6.3"),
    "a length of zero": (b"Content-Length: 0", b"", b"", "RFC 9110, 8.6"),
    "a length with zeros": (b"Content-Length: 0004", b"body", b"body", "RFC 9110, 8.6"),
    "blanks around a length": (b"Content-Length: \t4 \t", b"body", b"body", "RFC 9112, 5.1"),
    "an empty line after the body": (b"Content-Length: 1", b"a\r\n", b"a", "RFC 9112, 2.2"),
    "chunks": (b"Transfer-Encoding: chunked", b"0\r\n\r\n", b"", "RFC 9112, 6.1"),
    "chunked in capitals": (b"transfer-encoding:CHUNKED ", b"0\r\n\r\n", b"", "RFC 9112, 7"),
    # llhttp is stricter, and a tab is rare there.
    "a tab after chunked": (b"Transfer-Encoding: chunked\t", b"0\r\n\r\n", BAD, "RFC 9112, 5.1"),
    # Programs that take _ for - see a coding here. There is none: both are of a name.
    "a coding with an underscore": (b"Transfer_Encoding: chunked", b"", b"", "RFC 9110, 5.1"),
    # The last two could be accepted, if all are the same.
    "two lengths": (b"Content-Length: 4\r\nContent-Length: 5", b"body", BAD, "RFC 9112, 6.3"),
    "a length twice": (b"Content-Length: 4\r\nContent-Length: 4", b"body", BAD, "RFC 9112, 6.3"),
    "a list of lengths": (b"Content-Length: 4, 4", b"body", BAD, "RFC 9112, 6.3"),
    "an empty length": (b"Content-Length:", b"", BAD, "RFC 9110, 8.6"),
    "a length with a sign": (b"Content-Length: +4", b"body", BAD, "RFC 9110, 8.6"),
    "a negative length": (b"Content-Length: -4", b"body", BAD, "RFC 9110, 8.6"),
    "a length in hexadecimal": (b"Content-Length: 0x4", b"body", BAD, "RFC 9110, 8.6"),
    "a length with an underscore": (b"Content-Length: 0_4", b"body", BAD, "RFC 9110, 8.6"),
    "a length with a point": (b"Content-Length: 4.0", b"body", BAD, "RFC 9110, 8.6"),
    "a length with a blank": (b"Content-Length: 0 4", b"body", BAD, "RFC 9110, 8.6"),
    "a quoted length": (b'Content-Length: "4"', b"body", BAD, "RFC 9110, 8.6"),
    "a superscript as a length": (b"Content-Length: \xb2", b"body", BAD, "RFC 9110, 8.6"),
    "a length after a vertical tab": (b"Content-Length: \x0b4", b"body", BAD, "RFC 9110, 5.5"),
    "a length beyond 64 bits": (b"Content-Length: 18446744073709551616", b"", BAD, "RFC 9110, 8.6"),
    "a large length": (
        b"Content-Length: 18446744073709551615",
        b"",
        TOO_LARGE,
        "RFC 9110, 15.5.14",
    ),
    # It is valid, and as a number it is small, but nobody sends it.
    "a length of 5,000 digits": (
        b"Content-Length: " + b"0" * 5000,
        b"",
        TOO_LARGE,
        "RFC 9110, 8.6",
    ),
    "a length and chunks": (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"0\r\n\r\n",
        BAD,
        "RFC 9112, 6.1",
    ),
    "chunks and a length": (
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"0\r\n\r\n",
        BAD,
        "RFC 9112, 6.1",
    ),
    "no coding": (b"Transfer-Encoding:", b"", BAD, "RFC 9112, 6.1"),
    "another coding": (b"Transfer-Encoding: gzip", b"", BAD, "RFC 9112, 6.3"),
    "identity": (b"Transfer-Encoding: identity", b"", BAD, "RFC 9112, 6.3"),
    "chunked and another coding": (b"Transfer-Encoding: chunked, gzip", b"", BAD, "RFC 9112, 6.3"),
    "another coding and chunked": (
        b"Transfer-Encoding: gzip, chunked",
        b"0\r\n\r\n",
        NOT_IMPLEMENTED,
        "RFC 9112, 6.1",
    ),
    # Empty members of a list are ignored, says RFC 9110, 5.6.1.2, but who does is not sure.
    "an empty coding and chunked": (
        b"Transfer-Encoding: ,chunked",
        b"0\r\n\r\n",
        NOT_IMPLEMENTED,
        "RFC 9112, 6.1",
    ),
    "chunked twice": (b"Transfer-Encoding: chunked, chunked", b"", BAD, "RFC 9112, 6.1"),
    "chunked with a parameter": (b"Transfer-Encoding: chunked;a=b", b"", BAD, "RFC 9112, 7.1"),
    "a quoted coding": (b'Transfer-Encoding: "chunked"', b"", BAD, "RFC 9112, 7"),
    "a coding after a vertical tab": (b"Transfer-Encoding: \x0bchunked", b"", BAD, "RFC 9110, 5.5"),
}

# Chunked bodies, and what they hold.
CHUNKED: dict[str, tuple[bytes, bytes | int, str]] = {
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello", "RFC 9112, 7.1"),
    "two chunks": (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello", "RFC 9112, 7.1"),
    "a size in small letters": (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", "RFC 9112, 7.1"),
    "a size in capitals": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", "RFC 9112, 7.1"),
    "a size with zeros": (b"000000005\r\nhello\r\n000\r\n\r\n", b"hello", "RFC 9112, 7.1"),
    "a chunk of line ends": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", "RFC 9112, 7.1"),
    "a chunk like a last one": (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", "RFC 9112, 7.1"),
    "a trailer": (b"0\r\nA: b\r\nC:\r\n\r\n", b"", "RFC 9112, 7.1.2"),
    "a trailer that may be none": (b"0\r\nHost: x\r\n\r\n", b"", "RFC 9110, 6.5.1"),
    "a trailer in Latin-1": (b"0\r\nA: \xeb\r\n\r\n", b"", "RFC 9110, 5.5"),
    "an extension": (b"5;a\r\nhello\r\n0;b\r\n\r\n", b"hello", "RFC 9112, 7.1.1"),
    "an extension with a value": (b"5;a=b\r\nhello\r\n0\r\n\r\n", b"hello", "RFC 9112, 7.1.1"),
    "an extension with a quoted value": (
        b'5;a="b;\t\\"\\\\"\r\nhello\r\n0\r\n\r\n',
        b"hello",
        "RFC 9110, 5.6.4",
    ),
    "Latin-1 in a quoted value": (
        b'5;a="\xeb\\\xeb"\r\nhello\r\n0\r\n\r\n',
        b"hello",
        "RFC 9110, 5.6.4",
    ),
    "several extensions": (b'5;a;b=c;d=""\r\nhello\r\n0\r\n\r\n', b"hello", "RFC 9112, 7.1.1"),
    # llhttp is less strict with these two. Where the chunk ends is clear.
    "an extension without a name": (b"5;=a\r\nhello\r\n0\r\n\r\n", b"hello", "RFC 9112, 7.1.1"),
    "a value of nothing": (b"5;a=\r\nhello\r\n0\r\n\r\n", b"hello", "RFC 9112, 7.1.1"),
    # The grammar allows blanks here. Some programs end the size, or the line, at the first one.
    "a blank after a size": (b"5 \r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a blank before an extension": (b"5 ;a=b\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "a tab before an extension": (b"5\t;a=b\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "a blank after a semicolon": (b"5; a=b\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "a blank before an equals sign": (b"5;a =b\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "a blank after an equals sign": (b"5;a= b\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "a blank in an extension": (b"5;a b\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "an empty extension": (b"5;\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "three empty extensions": (b"5;;;\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "an empty extension at the end": (b"5;a=b;\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "equals signs": (b'5;= = "\r\nhello\r\n0\r\n\r\n', BAD, "RFC 9112, 7.1.1"),
    "two values": (b"5;a=b=c\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "a quote without an end": (b'5;a="b\r\nhello\r\n0\r\n\r\n', BAD, "RFC 9110, 5.6.4"),
    "more after a quote": (b'5;a="b"c\r\nhello\r\n0\r\n\r\n', BAD, "RFC 9112, 7.1.1"),
    "a control character in a quote": (b'5;a="\1"\r\nhello\r\n0\r\n\r\n', BAD, "RFC 9110, 5.6.4"),
    "a CR in a quote": (b'5;a="\r"\r\nhello\r\n0\r\n\r\n', BAD, "RFC 9112, 2.2"),
    "a LF in a quote": (b'5;a="\n"\r\nhello\r\n0\r\n\r\n', BAD, "RFC 9112, 2.2"),
    "Latin-1 in an extension": (b"5;\xeb\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "Latin-1 in a value that is not quoted": (
        b"5;a=\xeb\r\nhello\r\n0\r\n\r\n",
        BAD,
        "RFC 9112, 7.1.1",
    ),
    "no size": (b"\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "an extension without a size": (b";a\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a blank before a size": (b" 5\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a size with a sign": (b"+5\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a negative size": (b"-5\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a size with 0x": (b"0x5\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a size with an underscore": (b"0_5\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a letter that is no digit": (b"5g\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a size beyond 64 bits": (b"10000000000000005\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a large size": (b"ffffffffffffffff\r\nhello\r\n", TOO_LARGE, "RFC 9110, 15.5.14"),
    # A recipient should limit the extensions; this one has at most 256 bytes for the line.
    "a long extension": (b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1.1"),
    "a LF after a size": (b"5\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 2.2"),
    "two CRs after a size": (b"5\r\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 2.2"),
    "an empty line after a size": (b"5\r\n\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "no line end after a chunk": (b"5\r\nhello0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a LF after a chunk": (b"5\r\nhello\n0\r\n\r\n", BAD, "RFC 9112, 2.2"),
    "two CRs after a chunk": (b"5\r\nhello\r\r\n0\r\n\r\n", BAD, "RFC 9112, 2.2"),
    "a chunk longer than its size": (b"4\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a chunk shorter than its size": (b"6\r\nhello\r\n0\r\n\r\n", BAD, "RFC 9112, 7.1"),
    "a LF after the last size": (b"0\n\r\n", BAD, "RFC 9112, 2.2"),
    "a LF as the last line": (b"0\r\n\n", BAD, "RFC 9112, 2.2"),
    "a trailer without a colon": (b"0\r\nGET / HTTP/1.1\r\n\r\n", BAD, "RFC 9112, 7.1.2"),
    "a blank before the colon of a trailer": (b"0\r\nA : b\r\n\r\n", BAD, "RFC 9112, 5.1"),
    "a folded trailer": (b"0\r\nA: b\r\n c\r\n\r\n", BAD, "RFC 9112, 5.2"),
    "a NUL in a trailer": (b"0\r\nA: \0\r\n\r\n", BAD, "RFC 9110, 5.5"),
    # These may not be trailers, and a recipient may ignore them. One that does not is misled.
    "a length in a trailer": (b"0\r\nContent-Length: 5\r\n\r\n", BAD, "RFC 9110, 6.5.1"),
    "a coding in a trailer": (b"0\r\nTransfer-Encoding: gzip\r\n\r\n", BAD, "RFC 9110, 6.5.1"),
}

# All the rest, as it is sent.
WHOLE: dict[str, tuple[bytes, Parsed | int, str]] = {
    "an empty line before a request": (b"\r\nGET / HTTP/1.1\r\n" + HEAD_END, GET, "RFC 9112, 2.2"),
    "empty lines before a request": (
        b"\r\n" * 9 + b"GET / HTTP/1.1\r\n" + HEAD_END,
        GET,
        "RFC 9112, 2.2",
    ),
    # A server should ignore at least one CR LF. One of them alone is no more than that.
    "a LF before a request": (b"\nGET / HTTP/1.1\r\n" + HEAD_END, GET, "RFC 9112, 2.2"),
    "a CR before a request": (b"\rGET / HTTP/1.1\r\n" + HEAD_END, GET, "RFC 9112, 2.2"),
    "a blank line before a request": (b" \r\nGET / HTTP/1.1\r\n" + HEAD_END, BAD, "RFC 9112, 2.2"),
    "a NUL before a request": (b"\0GET / HTTP/1.1\r\n" + HEAD_END, BAD, "RFC 9112, 3"),
    "LFs alone": (b"GET / HTTP/1.1\nHost: localhost\n\n", BAD, "RFC 9112, 2.2"),
    "a LF after the request line": (b"GET / HTTP/1.1\n" + HEAD_END, BAD, "RFC 9112, 2.2"),
    "a blank before the first header": (b"GET / HTTP/1.1\r\n " + HEAD_END, BAD, "RFC 9112, 2.2"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", BAD, "RFC 9112, 3.2"),
    "no Host in HTTP/1.2": (b"GET / HTTP/1.2\r\n\r\n", BAD, "RFC 9110, 2.5"),
    "no Host and a URL": (b"GET http://localhost/ HTTP/1.1\r\n\r\n", BAD, "RFC 9112, 3.2"),
    "no Host in HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", OLD, "RFC 9112, 3.2"),
    "no Host in HTTP/1.0 and a URL": (
        b"GET http://localhost/ HTTP/1.0\r\n\r\n",
        OLD,
        "RFC 9112, 3.2.2",
    ),
    "a URL with a user in HTTP/1.0": (
        b"GET http://a@localhost/ HTTP/1.0\r\n\r\n",
        BAD,
        "RFC 9110, 4.2.4",
    ),
    "a URL with a port only in HTTP/1.0": (
        b"GET http://:80/ HTTP/1.0\r\n\r\n",
        BAD,
        "RFC 9110, 4.2.1",
    ),
    "an invalid Host in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", BAD, "RFC 9112, 3.2"),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", OTHER_VERSION, "RFC 9113, 3.4"),
    "the preface of HTTP/2 as HTTP/1.1": (b"PRI * HTTP/1.1\r\n" + HEAD_END, BAD, "RFC 7540, 11.6"),
    "a request of HTTP/0.9": (b"GET /\r\n\r\n", BAD, "RFC 9112, 3"),
    "TLS": (b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03\r\n\r\n", BAD, "RFC 9112, 3"),
    "chunks in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        BAD,
        "RFC 9112, 6.1",
    ),
    "chunks in HTTP/1.2": (
        b"POST / HTTP/1.2\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        Parsed("POST", headers={"transfer-encoding": "chunked"}, body=b"a"),
        "RFC 9110, 2.5",
    ),
    "a body of HTTP/1.0": (
        b"POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody",
        OLD._replace(method="POST", headers={"content-length": "4"}, body=b"body"),
        "RFC 9112, 6.3",
    ),
    "a body of GET": (
        b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nbody",
        Parsed(headers={"content-length": "4"}, body=b"body"),
        "RFC 9110, 9.3.1",
    ),
    "a body with an offer to upgrade": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: h2c\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        Parsed(
            "POST",
            headers={"connection": "upgrade", "upgrade": "h2c", "transfer-encoding": "chunked"},
            body=b"a",
        ),
        "RFC 9110, 7.8",
    ),
    "a long target": (
        b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\n" + HEAD_END,
        Parsed(path="/" + "a" * 8000),
        "RFC 9112, 3",
    ),
    "a target that is too long": (
        b"GET /" + b"a" * 16 * 1024 + b" HTTP/1.1\r\n" + HEAD_END,
        URI_TOO_LONG,
        "RFC 9112, 3",
    ),
    "headers that are too long": (
        b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 16 * 1024 + b"\r\n\r\n",
        HEAD_TOO_LARGE,
        "RFC 6585, 5",
    ),
    "too many headers": (
        b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 100 + b"\r\n",
        HEAD_TOO_LARGE,
        "RFC 9110, 5.4",
    ),
}


def get(lines: bytes) -> bytes:
    """Return a GET with more header lines."""
    return b"GET / HTTP/1.1\r\n" + HOST + lines + b"\r\n\r\n"


def post(lines: bytes, body: bytes) -> bytes:
    """Return a POST with more header lines."""
    return b"POST / HTTP/1.1\r\n" + HOST + lines + b"\r\n\r\n" + body


def posted(lines: bytes, body: bytes | int) -> Parsed | int:
    """Return what a POST says, or the status of its error."""
    if isinstance(body, int):
        return body
    name, _, value = lines.decode().partition(":")
    return Parsed("POST", headers={name.lower(): value.strip()}, body=body)


CHUNKS = b"Transfer-Encoding: chunked"
REQUESTS: dict[str, Sent] = {
    **{
        name: Sent(line + b"\r\n" + HEAD_END, expected, clause)
        for name, (line, expected, clause) in REQUEST_LINES.items()
    },
    **{
        name: Sent(get(lines), Parsed(headers=found) if isinstance(found, dict) else found, clause)
        for name, (lines, found, clause) in HEADER_LINES.items()
    },
    **{
        f"Connection: {name}": Sent(
            get(b"Connection: " + options).replace(b"HTTP/1.1", version.encode(), 1),
            Parsed(
                version=min(version, "HTTP/1.1"),
                headers={"connection": options.decode().replace("\r\nConnection: ", ",")},
                keep_alive=keep_alive,
            ),
            clause,
        )
        for name, (version, options, keep_alive, clause) in CONNECTIONS.items()
    },
    **{
        f"Host: {host.decode('latin-1')}": Sent(
            get(b"A: b").replace(b"localhost", host, 1),
            Parsed(headers={"a": "b"}) if accepted else BAD,
            clause,
        )
        for host, (accepted, clause) in HOSTS.items()
    },
    **{
        name: Sent(post(lines, body), posted(lines, found), clause, in_body=found == TOO_LARGE)
        for name, (lines, body, found, clause) in BODIES.items()
    },
    **{
        name: Sent(post(CHUNKS, body), posted(CHUNKS, found), clause, in_body=True)
        for name, (body, found, clause) in CHUNKED.items()
    },
    **{name: Sent(*row) for name, row in WHOLE.items()},
}
TABLES: tuple[Sized, ...]
TABLES = REQUEST_LINES, HEADER_LINES, CONNECTIONS, HOSTS, BODIES, CHUNKED, WHOLE
assert len(REQUESTS) == sum(len(table) for table in TABLES), "two have the same name"
