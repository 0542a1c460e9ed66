"""Wireshark and the lab read the same: frames, handshakes, pickles, and the relay's comments."""

import os
import pickle
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Iterator
from multiprocessing.connection import Client as StockClient
from random import Random
from typing import Any

import docker
import pytest

from clients.rpc import RPCProxy
from lab.capture import tcpdump
from lab.stack import Stack
from services.connection import frames
from services.object_echo import echo
from services.rpc import calls
from services.wire import pcapng
from services.wire.legs import Leg
from services.wire.record import Action, Record
from tests.interop import wireshark_page
from tests.interop.tshark import Client, Recorder, Tshark
from tests.support.engine import container_of

Listing = list[tuple[int, str]]  # the opcodes of a pickle: position and name

FRAME = ("mpconn.kind", "pickle.position", "pickle.opcode")
WRONG = (
    "tcp.analysis.flags || ip.checksum.status == Bad || tcp.checksum.status == Bad"
    " || udp.checksum.status == Bad || _ws.malformed || _ws.expert.severity >= Warning"
)
VALUES = [
    None, True, -5, 255, 65_535, 2**31 - 1, -(2**70), 1.5, float("inf"), "text", "é☃\n'\0",
    b"\x00\xff", bytearray(b"x"), (), (1,), (1, 2), [1, [2, []]], {"a": {1: 2}}, {1, 2}, set(),
    frozenset({3}),
    OrderedDict(a=1), [None] * 300, "long" * 200, b"b" * 70_000,
]  # fmt: skip


def listing(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield the opcodes of a pickle, and behind each those of a pickle that is its argument."""
    for opcode, argument, position in pickletools.genops(data):
        assert position is not None
        yield position, opcode.name
        if isinstance(argument, bytes) and argument[:1] == b"\x80" and argument[-1:] == b".":
            yield from listing(argument)


def messages(stream: bytes) -> Iterator[bytes]:
    """Yield the messages of a stream, with both forms of a length."""
    while stream:
        (size,), start = struct.unpack_from("!i", stream), 4
        if size == -1:
            (size,), start = struct.unpack_from("!Q", stream, 4), 12
        yield stream[start : start + size]
        stream = stream[start + size :]


def ours(file: bytes, stream: str) -> tuple[list[bytes], Listing]:
    """Return the messages in one direction as the lab reads them back, and all opcodes."""
    passed = b"".join(each.data for each in pcapng.decode(file) if each.stream == stream)
    found = list(messages(passed))
    pickles = [message for message in found if message[:1] == b"\x80"]
    return found, [each for message in pickles for each in listing(message)]


def theirs(tshark: Tshark, file: bytes, leg: Leg, stream: str) -> tuple[list[str], Listing]:
    """Return the kinds of messages in one direction, and all opcodes, as Wireshark reads them."""
    side = "dst" if stream == "upstream" else "src"
    servers = f"tcp.{side}port in {{17000..17020,25000..25020}}"
    chosen = f"mpconn && frame.interface_id == {leg:d} && {servers}"
    rows = tshark.fields(file, chosen, *FRAME)
    kinds = [kind for row in rows for kind in row[0]]
    opcodes = [
        (int(position), name) for row in rows for position, name in zip(row[1], row[2], strict=True)
    ]
    return kinds, opcodes


def kind(message: bytes) -> str:
    """Return what Wireshark is to call a message."""
    for beginning, name in (
        (b"#CHALLENGE#", "challenge"), (b"#WELCOME#", "welcome"), (b"\x80", "pickle"),
    ):  # fmt: skip
        if message.startswith(beginning):
            return name
    return "answer"


@pytest.mark.parametrize("leg", Leg, ids=["client's leg", "server's leg"])
@pytest.mark.parametrize("stream", ["upstream", "downstream"])
@pytest.mark.parametrize("name", ["stock", "", "sha256"], ids=["this Python's", "MD5", "SHA-256"])
def test_both_read_the_same_of_a_connection(
    tshark: Tshark, name: str, stream: str, leg: Leg
) -> None:
    """Each frame of object-echo and rpc, what it is, and each opcode with its position."""
    recorder = Recorder()
    for proxy, answer in (("object-echo", echo.ANSWER), ("rpc", calls.ANSWER)):
        client = Client(recorder, proxy, 1, answer)
        if name == "stock":
            client.shake_hands()
        else:
            client.shake_hands_with(name.encode(), os.urandom(20))
        for value in VALUES if proxy == "object-echo" else ():
            client.send(pickle.dumps(value, 4))
        client.send(*(pickle.dumps(("add", (2, number), {})) for number in range(3)))
        if proxy == "rpc":
            client.send(pickle.dumps(pickle.dumps(("add", ("é", "x"), {}))))
            client.send(pickle.dumps(("no such", (), {})))
        recorder.close(proxy, 1)
    file = pcapng.encode(recorder.records)
    expected, opcodes = ours(file, stream)
    assert theirs(tshark, file, leg, stream) == ([*map(kind, expected)], opcodes)
    assert len(opcodes) > 300


def test_wireshark_finds_nothing_wrong_with_our_packets(tshark: Tshark) -> None:
    """No retransmission, nothing out of order or missing, no bad checksum, no full window."""
    recorder = Recorder()
    for number, proxy in enumerate(("object-echo", "rpc"), 1):
        client = Client(recorder, proxy, number, echo.ANSWER)
        client.shake_hands()
        client.send(pickle.dumps(b"large" * 600_000))
        client.send(pickle.dumps("small"))
        recorder.close(proxy, number)
    for size in (0, 1, 65_507):
        recorder.add("udp-time", 1, "data", "upstream", bytes(size))
    for host in ("172.18.0.9", "127.0.0.1", "[fd00::9]"):
        changed = [replaced(each, client=f"{host}:10000") for each in recorder.records]
        assert tshark.fields(pcapng.encode(changed), WRONG, "frame.number", "_ws.expert") == []
    # Where the beginning of a connection is gone, nothing is wrong either.
    assert tshark.fields(pcapng.encode(recorder.records[9:]), WRONG, "frame.number") == []


def replaced(record: Record, **values: Any) -> Record:
    """Return a record with other values, its number of connection as port of the client."""
    client = f"{values['client'].rpartition(':')[0]}:{10_000 + record.connection}"
    return Record(
        **{**{name: getattr(record, name) for name in Record.__slots__}, "client": client}
    )


def test_wireshark_would_find_what_is_wrong(tshark: Tshark) -> None:
    """A changed byte, and two packets in the wrong order: the test above can fail."""
    recorder = Recorder()
    Client(recorder, "rpc", 1, calls.ANSWER).shake_hands()
    file = pcapng.encode(recorder.records)
    changed = file.replace(b"#CHALLENGE#", b"#CHALLENGE!")
    assert len(tshark.fields(changed, WRONG, "frame.number")) == 4
    blocks = list(pcapng._blocks(file))
    packets = [pcapng._block(*block) for block in blocks if block[0] == pcapng.PACKET]
    others = b"".join(pcapng._block(*block) for block in blocks if block[0] != pcapng.PACKET)
    packets[8], packets[16] = packets[16], packets[8]
    assert tshark.fields(others + b"".join(packets), WRONG, "frame.number") != []


def test_what_the_relay_did_is_a_comment(tshark: Tshark) -> None:
    """A lost datagram has it, on the client's leg, and is on the server's leg not at all."""
    recorder = Recorder()
    lost = Action("packet_loss_upstream", "packet_loss", 7, 0.0312, "dropped")
    recorder.add("udp-time", 1, "data", "upstream", b"kept")
    recorder.add("udp-time", 1, "data", "upstream", b"lost", left=None, actions=(lost,))
    file = pcapng.encode(recorder.records)
    rows = tshark.fields(file, "udp", "frame.interface_name", "udp.payload", "frame.comment")
    said = ["packet_loss_upstream: dropped (packet_loss, seed 7, draw 0.0312)",
            "never sent on to the server"]  # fmt: skip
    assert rows == [
        [["client side"], [b"kept".hex()], []],
        [["server side"], [b"kept".hex()], []],
        [["client side"], [b"lost".hex()], said],
    ]
    printed = tshark.run(file, "-N", "n")
    assert "172.18.0.9 → relay" in printed
    assert "relay → udp-time" in printed


@pytest.mark.parametrize("service", ["object-echo", "rpc"])
def test_a_real_capture(
    tshark: Tshark, stack: Stack, engine: docker.DockerClient, key: bytes, service: str
) -> None:
    """What the containers exchange is read as it was sent, frame by frame."""
    where = stack.address(service)
    requests: list[Any] = [("add", (2, 3), {}), ("add", ("x", "y"), {})]
    sent = [pickle.dumps(request) for request in requests]
    container = container_of(engine, stack, service)
    with tcpdump(str(container.id), 60) as source:
        file = source.read(60)
        assert file
        with StockClient((where.host, where.port), authkey=key) as client:
            for message in sent:
                client.send_bytes(message)
                client.recv()
        if service == "rpc":
            with RPCProxy(where, key) as proxy:
                assert proxy.call("add", 2, 3) == 5
        source.stop()
        while data := source.read(60):
            file += data
    kinds, opcodes = theirs_in_reality(tshark, file)
    handshake = ["answer", "challenge", "welcome"]
    assert kinds[:5] == [*handshake, "pickle", "pickle"]
    assert opcodes[: sum(map(len, map(list, map(listing, sent))))] == [
        each for message in sent for each in listing(message)
    ]


def theirs_in_reality(tshark: Tshark, file: bytes) -> tuple[list[str], Listing]:
    """Return what clients sent, of a capture that is one leg."""
    rows = tshark.fields(file, "mpconn && tcp.dstport in {17000,25000}", *FRAME)
    assert tshark.fields(file, "_ws.malformed", "frame.number") == []
    return (
        [name for row in rows for name in row[0]],
        [(int(at), name) for row in rows for at, name in zip(row[1], row[2], strict=True)],
    )


DANGEROUS = {
    "GLOBAL": b"cos\nsystem\n.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "REDUCE": b"NNR.",
    "INST": b"(ios\nsystem\n.",
    "OBJ": b"(No.",
    "NEWOBJ": b"\x80\x02NN\x81.",
    "NEWOBJ_EX": b"\x80\x04NNN\x92.",
    "BUILD": b"NNb.",
    "EXT1": b"\x80\x02\x82\x01.",
    "EXT2": b"\x80\x02\x83\x01\x00.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "PERSID": b"Pname\n.",
    "BINPERSID": b"NQ.",
}


def exchange(*sent: bytes, framed: bool = True) -> bytes:
    """Return a file with what a client sends, at once, to a server that says nothing."""
    recorder = Recorder()
    recorder.open("rpc", 1)
    for each in sent:
        recorder.add("rpc", 1, "data", "upstream", frames.encode(each) if framed else each)
    return pcapng.encode(recorder.records)


@pytest.mark.parametrize("name", DANGEROUS)
def test_what_imports_or_calls_is_a_warning(tshark: Tshark, name: str) -> None:
    """Each opcode of this kind, and no other."""
    file = exchange(DANGEROUS[name], pickle.dumps(["plain", {1: (2.5, None)}]))
    rows = tshark.fields(
        file, "pickle && frame.interface_id == 0", "pickle.dangerous", "_ws.expert.message"
    )
    assert [len(row[0]) for row in rows] == [1, 0]
    assert rows[0][1][0].startswith(f"{name} ")


def test_every_opcode_has_the_name_and_length_that_python_gives_it(tshark: Tshark) -> None:
    """Positions tell how long each argument was taken to be."""
    sent = []
    for opcode in pickletools.opcodes:
        argument = {
            None: b"", "int4": b"\1\0\0\0", "uint8": b"\1" + bytes(7), "float8": bytes(8),
            "uint1": b"\4", "uint2": b"\1\0", "uint4": b"\1\0\0\0", "long1": b"\1\5",
            "decimalnl_short": b"5\n", "decimalnl_long": b"5L\n", "floatnl": b"1.5\n",
            "stringnl": b"'x'\n", "stringnl_noescape": b"x\n", "unicodestringnl": b"x\n",
            "stringnl_noescape_pair": b"x\ny\n", "string1": b"\1x", "bytes1": b"\1x",
            "unicodestring1": b"\1x", "long4": b"\1\0\0\0\5", "string4": b"\1\0\0\0x",
            "bytes4": b"\1\0\0\0x", "unicodestring4": b"\1\0\0\0x",
            "bytes8": b"\1" + bytes(7) + b"x", "bytearray8": b"\1" + bytes(7) + b"x",
            "unicodestring8": b"\1" + bytes(7) + b"x",
        }[opcode.arg.name if opcode.arg else None]  # fmt: skip
        if opcode.name != "STOP":
            sent.append(b"\x80\x04" + opcode.code.encode("latin-1") + argument + b"N.")
    rows = tshark.fields(exchange(*sent), "pickle && frame.interface_id == 0", *FRAME)
    found = [[(int(at), name) for at, name in zip(row[1], row[2], strict=True)] for row in rows]
    assert found == [list(listing(message)) for message in sent]
    assert len(found) == len(pickletools.opcodes) - 1 > 60


def test_arguments_and_objects_are_shown_as_python_writes_them(tshark: Tshark) -> None:
    """As far as they are short, and plain data."""
    shown = [
        None, True, 5, -5, 2**31 - 1, 2**40, 1.5, -0.1, "text", "é☃\n'", b"\x00\xff", (), (1,),
        (1, 2),
        [1, [2, []]], {"a": {1: 2}}, {1}, set(), ("add", (2, 3), {"x": None}), bytearray(b"x"),
    ]  # fmt: skip
    for protocol in range(2, 6):
        file = exchange(*(pickle.dumps(value, protocol) for value in shown))
        rows = tshark.fields(file, "pickle && frame.interface_id == 0", "pickle.object")
        plain = [
            (repr(value), row[0][0].replace("\\\\", "\\"))  # which Wireshark doubles in a field
            for value, row in zip(shown, rows, strict=True)
            if protocol >= 5 or not isinstance(value, (bytes, bytearray, set))
        ]
        assert [theirs for _, theirs in plain] == [
            mine.replace('"é☃\\n\'"', "'é☃\\n\\''") for mine, _ in plain
        ]
    call = tshark.fields(exchange(pickle.dumps(wireshark_page.Evil())), "pickle", "pickle.object")
    assert call[0][0] == ["posix.system('id')"]


def test_the_long_form_of_a_length(tshark: Tshark) -> None:
    """-1 and 8 bytes: also where these arrive in two pieces."""
    message = pickle.dumps("x")
    long = struct.pack("!iQ", -1, len(message)) + message
    file = exchange(long + long[:7], long[7:], framed=False)
    rows = tshark.fields(file, "mpconn && frame.interface_id == 0",
                         "mpconn.length", "mpconn.long_length", "pickle.object")  # fmt: skip
    assert rows == [[["-1"], [str(len(message))], ["'x'"]]] * 2


@pytest.mark.parametrize(
    ("size", "field"),
    [(struct.pack("!i", -2), "mpconn.invalid_length"), (b"GET ", "mpconn.incomplete"),
     (struct.pack("!iQ", -1, 2**63), "mpconn.incomplete")],
    ids=["negative", "another protocol", "long"],
)  # fmt: skip
def test_a_length_that_cannot_be(tshark: Tshark, size: bytes, field: str) -> None:
    """It is said at once, and what follows in this direction is not taken for lengths."""
    file = exchange(
        frames.encode(pickle.dumps(1)), size + b"x" * 50, frames.encode(b"N."), framed=False
    )
    rows = tshark.fields(file, "mpconn && frame.interface_id == 0", field, "mpconn.kind")
    assert [(len(row[0]), row[1]) for row in rows] == [
        (0, ["pickle"]),
        (1, ["incomplete"]),
        (0, []),
    ]


def test_the_ports_are_a_preference(tshark: Tshark) -> None:
    """For a server on another one."""
    recorder = Recorder()
    recorder.add("rpc", 1, "data", "upstream", frames.encode(b"N."), server="172.18.0.3:9999")
    file = pcapng.encode(recorder.records)
    assert tshark.fields(file, "mpconn", "frame.number") == []
    ports = ("-o", "mpconn.ports:9000-9999,10019")
    assert tshark.run(file, "-Y", "mpconn", *ports).count("MPCONN") == 2


def hostile(chance: Random) -> Iterator[bytes]:
    """Yield streams that are damaged, cut off, or nothing like the protocol."""
    good = [pickle.dumps(value, protocol) for value in VALUES[:-3] for protocol in (0, 2, 4, 5)]
    good += [
        *DANGEROUS.values(),
        b"#CHALLENGE#{sha256}" + bytes(32),
        b"#CHALLENGE#",
        b"{md5}",
        bytes(16),
    ]
    for _ in range(400):
        message = bytearray(chance.choice(good))
        for _ in range(chance.randrange(5)):
            at = chance.randrange(len(message))
            match chance.randrange(3):
                case 0:
                    message[at] = chance.randrange(256)
                case 1:
                    message[at:at] = chance.randbytes(chance.randrange(1, 9))
                case _:
                    del message[at : at + chance.randrange(1, 9)]
            message = message or bytearray(b".")
        yield frames.encode(bytes(message)) + frames.encode(chance.choice(good))
    for _ in range(100):
        yield chance.randbytes(chance.randrange(1, 200))
    for opcode in range(256):  # each with all that a stack may lack, and an argument too long
        yield b"".join(
            frames.encode(bytes([0x80, 4, *before, opcode, *b"\xff" * after]) + b".")
            for before in (b"", b"(", b"N", b"((", b"]2", b"(2", b"NNN")
            for after in (0, 1, 8)
        )
    yield frames.encode(b"]" + b"\x94h\x00a" * 2000 + b".")
    yield frames.encode(b"(" * 5000 + b"t" * 4000 + b".")
    yield frames.encode(b"K\x01" + b"\x85" * 900 + b".")
    yield frames.encode(b"]\x94" + b"(h\x00h\x00e" * 150 + b".")


def test_hostile_bytes_are_no_errors_of_the_plugin(
    tshark: Tshark, request: pytest.FixtureRequest
) -> None:
    """Damaged pickles and lengths, and packets of which only the beginning was captured."""
    seed = request.config.getoption("--seed") or Random().randrange(2**32)  # noqa: S311
    chance = Random(seed)  # noqa: S311 - to be repeated
    recorder = Recorder()
    for number, stream in enumerate(hostile(chance), 1):
        recorder.open("rpc", number)
        recorder.add("rpc", number, "data", "downstream", frames.encode(b"#CHALLENGE#" + bytes(20)))
        recorder.add("rpc", number, "data", "upstream", stream[: len(stream) // 2])
        recorder.add("rpc", number, "data", "upstream", stream[len(stream) // 2 :])
    file = pcapng.encode(recorder.records)
    for each in (file, cut(file, chance)):
        for desegment in ("TRUE", "FALSE"):
            printed = tshark.run(each, "-o", f"tcp.desegment_tcp_streams:{desegment}",
                                 "-Y", "tcp.len > 0", "-O", "mpconn,pickle")  # fmt: skip
            assert "Lua" not in printed, f"seed {seed}"
            assert printed.count("multiprocessing.connection") > 1000


def cut(file: bytes, chance: Random) -> bytes:
    """Return the file as if only a part of each packet had been captured (snap length)."""
    blocks = []
    for kind, body in pcapng._blocks(file):
        changed = body
        if kind == pcapng.PACKET:
            *header, size, _ = pcapng.PACKET_HEADER.unpack_from(body)
            kept = chance.randrange(min(size, 50), size + 1)
            packet = body[20 : 20 + kept] + bytes(-kept % 4)
            changed = pcapng.PACKET_HEADER.pack(*header, kept, size) + packet
        blocks.append(pcapng._block(kind, changed))
    return b"".join(blocks)


def test_the_page_shows_what_tshark_prints(tshark: Tshark) -> None:
    """Of the example beside it, which is what it is made of."""
    file = wireshark_page.EXAMPLE.read_bytes()
    assert file == wireshark_page.example()
    page = wireshark_page.PAGE.read_text()
    assert wireshark_page.printed(page, tshark, file) == page
    assert len(wireshark_page.BLOCK.findall(page)) == page.count("```console")
