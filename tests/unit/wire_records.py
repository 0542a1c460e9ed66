"""Records of real conversations: the bytes that clients and servers of the lab have sent.

The times are round ones, so that the diagrams of the tests can be read.
"""

from services.wire.record import Action, Record, Stream

START = 1_795_673_000.0  # 2026-11-26 06:03:20 UTC
CLIENT = "10.0.0.5:50000"
UP: Stream = "upstream"
DOWN: Stream = "downstream"
END = b""  # of a stream: its FIN

Piece = tuple[float, Stream, bytes]  # milliseconds, direction, bytes


def tcp(proxy: str, *pieces: Piece, delay: float = 0.1, number: int = 1) -> list[Record]:
    """Return the records of a TCP connection: opened, what was sent, closed."""
    records = [record(proxy, "tcp", "open", UP, 0, b"", 0, delay, number)]
    sent = {UP: 0, DOWN: 0}
    for at, stream, data in pieces:
        kind = "data" if data else "fin"
        records.append(
            record(proxy, "tcp", kind, stream, sent[stream], data, at, at + delay, number)
        )
        sent[stream] += len(data)
    last = pieces[-1][0] if pieces else 0
    return [*records, record(proxy, "tcp", "close", UP, sent[UP], b"", last + 1, None, number)]


def udp(
    stream: Stream,
    offset: int,
    data: bytes,
    arrived: float,
    left: float | None,
    *actions: Action,
) -> Record:
    """Return the record of a datagram to or from udp-time."""
    return record("udp-time", "udp", "data", stream, offset, data, arrived, left, 1, *actions)


def record(
    proxy: str,
    protocol: str,
    kind: str,
    stream: Stream,
    offset: int,
    data: bytes,
    arrived: float,
    left: float | None,
    number: int = 1,
    *actions: Action,
) -> Record:
    """Return a record; times are milliseconds from START."""
    return Record(
        number=0,
        proxy=proxy,
        protocol=protocol,  # type: ignore[arg-type]
        connection=number,
        kind=kind,  # type: ignore[arg-type]
        stream=stream,
        offset=offset,
        data=data,
        arrived=START + arrived / 1000,
        left=None if left is None else START + left / 1000,
        client=CLIENT,
        server=f"{proxy}:20000",
        actions=actions,
    )


HALF_CLOSE = tcp(
    "tcp-echo",
    (1.0, UP, b"Hello"),
    (1.5, DOWN, b"Hello"),
    (2.0, UP, b"world"),
    (2.1, UP, END),
    (2.4, DOWN, b"world"),
    (2.5, DOWN, END),
)

LOSS = Action("packet_loss_upstream", "packet_loss", seed=7, draw=0.031, what="dropped")
NOW = b"Thu Nov 26 06:03:20 2026"
ASKED_AGAIN = [
    record("udp-time", "udp", "open", UP, 0, b"", 0, None),
    udp(UP, 0, b"a1b2-1", 0, None, LOSS),
    udp(UP, 1, b"a1b2-2", 251.2, 251.3),
    udp(DOWN, 0, b"a1b2-2 " + NOW, 251.7, 251.8),
]

LATENCY = Action("latency_upstream", "latency", seed=7, draw=None, what="delayed by 40 ms")
REORDER = Action("reorder_upstream", "reorder", seed=7, draw=0.21, what="held back")
DUPLICATED = Action("duplicate_downstream", "duplicate", seed=7, draw=0.07, what="duplicated")
COPY = Action("duplicate_downstream", "duplicate", seed=7, draw=0.07, what="the duplicate")
BAD_NETWORK = [  # in the order of the journal: that in which they have left
    udp(UP, 0, b"a-1", 0, 40, LATENCY),
    udp(DOWN, 0, b"a-1 " + NOW, 40.4, 40.5),
    udp(UP, 2, b"a-3", 52, 52.1),
    udp(DOWN, 1, b"a-3 " + NOW, 52.4, 52.5, DUPLICATED),
    udp(DOWN, 1, b"a-3 " + NOW, 52.4, 52.6, COPY),
    udp(UP, 1, b"a-2", 50, 56, REORDER),
    udp(DOWN, 2, b"a-2 " + NOW, 56.4, 56.5),
    udp(UP, 3, b"a-3", 60, 60.1),
]

CALL = (
    b"POST /RPC2 HTTP/1.1\r\nHost: 127.0.0.1:38567\r\nAccept-Encoding: gzip\r\n"
    b"Content-Type: text/xml\r\nUser-Agent: Python-xmlrpc/3.11\r\nContent-Length: %d\r\n\r\n"
)
SET = (
    b"<?xml version='1.0'?>\n<methodCall>\n<methodName>set</methodName>\n<params>\n<param>\n"
    b"<value><string>spam</string></value>\n</param>\n<param>\n<value><array><data>\n"
    b"<value><int>1</int></value>\n<value><int>2</int></value>\n<value><int>3</int></value>\n"
    b"</data></array></value>\n</param>\n</params>\n</methodCall>\n"
)
GET_42 = (
    b"<?xml version='1.0'?>\n<methodCall>\n<methodName>get</methodName>\n<params>\n<param>\n"
    b"<value><int>42</int></value>\n</param>\n</params>\n</methodCall>\n"
)
OK = (
    b"HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 06:07:08 GMT\r\nContent-Type: text/xml\r\n"
    b"Content-Length: %d\r\n\r\n"
)
NIL = (
    b"<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><nil/></value></param>\n"
    b"</params>\n</methodResponse>\n"
)
FAULT = (
    b"<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n"
    b"<name>faultCode</name>\n<value><int>-32602</int></value>\n</member>\n<member>\n"
    b"<name>faultString</name>\n<value><string>bad argument: get: the name 42 is not a string"
    b"</string></value>\n</member>\n</struct></value>\n</fault>\n</methodResponse>\n"
)
XML_RPC = tcp(
    "kv",
    (1.0, UP, CALL % len(SET)),  # http.client sends head and body one after the other
    (1.3, UP, SET),
    (4.0, DOWN, OK % len(NIL) + NIL),
    (5.0, UP, CALL % len(GET_42) + GET_42),
    (5.5, DOWN, OK % len(FAULT) + FAULT),
    (6.0, UP, END),
    (6.2, DOWN, END),
)

HELLO = (
    b"HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 06:07:08 GMT\r\n"
    b"Content-Type: text/html; charset=utf-8\r\nContent-Length: 110\r\nVary: Accept\r\n\r\n"
    b"<html>\n  <head>\n     <title>Hello Ada</title>\n   </head>\n   <body>\n"
    b"     <h1>Hello Ada!</h1>\n   </body>\n</html>"
)
NOT_FOUND = (
    b"HTTP/1.1 404 Not Found\r\nDate: Thu, 26 Nov 2026 06:07:08 GMT\r\n"
    b"Content-Type: application/problem+json\r\nContent-Length: 141\r\n\r\n"
    b'{\n  "type": "about:blank",\n  "title": "Not Found",\n  "status": 404,\n'
    b'  "detail": "There is nothing at this path.",\n  "instance": "/nowhere"\n}\n'
)
GET = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1:43369\r\nAccept-Encoding: identity\r\n\r\n"
HTTP = tcp(
    "rest",
    (1.0, UP, GET % b"/hello?name=Ada"),
    (2.8, DOWN, HELLO),
    (3.0, UP, GET % b"/nowhere"),
    (3.5, DOWN, NOT_FOUND),
    (4.0, UP, END),
    (4.1, DOWN, END),
)

ADA = (
    b"\x00\x00\x00'\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x04name\x94\x8c\x03Ada\x94"
    b"\x8c\x04born\x94M\x17\x07u."
)
RANGE = (
    b"\x00\x00\x00+\x80\x04\x95 \x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94\x8c\x05range\x94"
    b"\x93\x94K\x00K\x03K\x01\x87\x94R\x94."
)
REFUSED = (
    b"\x00\x00\x00:\x80\x04\x95/\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x05error\x94"
    b"\x8c builtins.range is not plain data\x94s."
)
WELCOME = b"\x00\x00\x00\t#WELCOME#"
SERVER_CHALLENGE = (
    b"\x00\x00\x003#CHALLENGE#{sha256}\xcb2\xe1\xc6\x85\xaaV\x188\xd6\x94s#\xfa\\C\x11c\xb0(y\x1a{)D;"
    b"\xcc\xfb\xd7a\x19\x0e"
)
CLIENT_DIGEST = (
    b"\x00\x00\x00({sha256}\x14\x07\xf6g\xa4\xd7n\x94{\xd3\xe1\xeaW\x91g\xf8\xb4\x1a\xd0\xac\xa3\xbf"
    b"\x0f\xb05&VcN\xce\x85i"
)
CLIENT_CHALLENGE = (
    b"\x00\x00\x00;#CHALLENGE#{sha256}}\x1d\xcbN\x87+\xc9\xda0\xb7\xcb\xcb\xb2\x16\xd8>\x89<j\x0f]"
    b"\xf2\xda\xe3\xf4'c\x1b\x15\x1a\xa2\xc5\xf3C\x9d \xe4.\x9e\xc8"
)
SERVER_DIGEST = (
    b"\x00\x00\x00({sha256}K\r<\x1f\n\xffSnAk8w\xb0;\x16F\xcc_\xe2[\xe26\xf2[\xd1\xc0\xc4\x9eDt"
    b"/\xcd"
)
# With the multiprocessing.connection.Client of Python 3.13.
NAMED_HANDSHAKE = tcp(
    "object-echo",
    (2.5, DOWN, SERVER_CHALLENGE),
    (5.7, UP, CLIENT_DIGEST),
    (6.0, DOWN, WELCOME),
    (6.1, UP, CLIENT_CHALLENGE),
    (6.2, DOWN, SERVER_DIGEST),
    (6.3, UP, WELCOME),
    (7.0, UP, ADA),
    (7.4, DOWN, ADA),
    (8.0, UP, RANGE),
    (8.4, DOWN, REFUSED),
    (9.0, UP, END),
    (9.3, DOWN, END),
)

ADD = b"\x80\x04\x95\x11\x00\x00\x00\x00\x00\x00\x00\x8c\x03add\x94K\x02K\x03\x86\x94}\x94\x87\x94."
TRACEBACK = (
    b'Traceback (most recent call last):\n  File "/app/services/rpc/calls.py", line 37, in answer\n'
    b'    result = call(request)\n  File "/app/services/rpc/functions.py", line 25, in sub\n'
    b"    return x - y\nTypeError: unsupported operand type(s) for -: 'list' and 'int'\n"
)
RAISED = (
    b"(\x89\x8c\tTypeError\x94\x8c3unsupported operand type(s) for -: 'list' and 'int'\x94\x85\x94"
    b"X" + len(TRACEBACK).to_bytes(4, "little") + TRACEBACK + b"\x94t\x94."
)
RAISED = b"\x80\x04\x95" + len(RAISED).to_bytes(8, "little") + RAISED
CHALLENGE_TO_MD5 = (
    b"\x00\x00\x003#CHALLENGE#{sha256}\xdb\xc0\x94\x80\xb7<\x87\xcb\xc6/\x94V\x8c\xc8\xebi4\xf7g\x8ev"
    b"\x01\xd0\xb2\xee\x05*\x12\xa2|\x84\x00"
)
MD5_DIGEST = b"\x00\x00\x00\x10\xd8\xb5\xe0V\x1bm\x87\x8b\x90\xa7\xfd0h\xd7\x83\xcc"
MD5_CHALLENGE = (
    b"\x00\x00\x00\x1f#CHALLENGE#U=7\xffW\x85\xc5\xf6\xceu\xaf\xf3t\xc5\xa9\x00\xca\xc9\x9aP"
)
MD5_ANSWER = b"\x00\x00\x00\x10k\x1e\xad\xe8\x91\xfeZ\x92\xaftY\xef\x9fu\x18K"
# With the lab's own client, which does the handshake as Python 3.11 does it.
LEGACY_HANDSHAKE: tuple[Piece, ...] = (
    (0.7, DOWN, CHALLENGE_TO_MD5),
    (0.8, UP, MD5_DIGEST),
    (1.0, DOWN, WELCOME),
    (1.1, UP, MD5_CHALLENGE),
    (1.2, DOWN, MD5_ANSWER),
)
RETURNED = b"\x00\x00\x00\x11\x80\x04\x95\x06\x00\x00\x00\x00\x00\x00\x00\x88K\x05\x86\x94."
SUB = (
    b'\x00\x00\x00"\x80\x04\x95\x17\x00\x00\x00\x00\x00\x00\x00\x8c\x03sub\x94]\x94(K\x01K\x02eK\x04'
    b"\x86\x94}\x94\x87\x94."
)
RPC_EXCEPTION = tcp(
    "rpc-threaded",
    *LEGACY_HANDSHAKE,
    (1.3, UP, WELCOME + len(ADD).to_bytes(4, "big") + ADD),  # two messages in one piece
    (1.5, DOWN, RETURNED),
    (1.6, UP, SUB),
    (2.1, DOWN, len(RAISED).to_bytes(4, "big") + RAISED),
    (2.3, UP, END),
    (2.5, DOWN, END),
)
ADD_TWICE = b"\x00\x00\x00+\x80\x04\x95 \x00\x00\x00\x00\x00\x00\x00C\x1c" + ADD + b"\x94."
RETURNED_TWICE = (
    b"\x00\x00\x00\x14\x80\x04\x95\t\x00\x00\x00\x00\x00\x00\x00C\x05\x80\x04K\x05.\x94."
)
RAISED_TWICE = (
    b"\x00\x00\x00n\x80\x04\x95c\x00\x00\x00\x00\x00\x00\x00C_\x80\x04\x95T\x00\x00\x00\x00\x00\x00"
    b"\x00\x8c\x08builtins\x94\x8c\tTypeError\x94\x93\x94"
    b"\x8c3unsupported operand type(s) for -: 'list' and 'int'\x94\x85\x94R\x94.\x94."
)
# With the recipe's RPCProxy, which pickles twice.
TWICE = tcp(
    "rpc",
    *LEGACY_HANDSHAKE,
    (1.3, UP, WELCOME),
    (44.4, UP, ADD_TWICE),
    (44.7, DOWN, RETURNED_TWICE),
    (45.0, UP, ADD_TWICE),
    (45.4, DOWN, RAISED_TWICE),
)

TRANSCRIPTS = {
    "tcp-echo": HALF_CLOSE,
    "udp-time": ASKED_AGAIN,
    "bad-network": BAD_NETWORK,
    "kv": XML_RPC,
    "rest": HTTP,
    "object-echo": NAMED_HANDSHAKE,
    "rpc": RPC_EXCEPTION,
    "rpc-twice": TWICE,
}
