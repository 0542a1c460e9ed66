"""XML-RPC on the wire: what is accepted, and what is refused."""

import xmlrpc.client
from datetime import datetime
from itertools import pairwise
from typing import Any
from xml.parsers import expat

import pytest

from services.kv import xml_rpc
from services.kv.faults import Fault, Kind


def call(value: str, head: str = "") -> bytes:
    """Return a call of `set` with one argument, as XML."""
    return (
        f"{head}<methodCall><methodName>set</methodName><params>"
        f"<param>{value}</param></params></methodCall>"
    ).encode("utf-8", "surrogatepass")


def refusal(body: bytes) -> Fault:
    """Return the fault that a call gets, when it is parsed or when its value is marshalled."""
    try:
        for argument in xml_rpc.parse_call(body)[1]:
            xml_rpc.marshal(argument)
    except Fault as fault:
        return fault
    return pytest.fail("it was not refused")


def struct(*members: str) -> str:
    """Return a struct with members of these names."""
    inner = "".join(f"<member><name>{m}</name><value>x</value></member>" for m in members)
    return f"<value><struct>{inner}</struct></value>"


ATTRIBUTES = "<value a='' b=''/>"

VALUES: dict[str, Any] = {
    "nil": None,
    "int": -(2**31),
    "the largest int": 2**31 - 1,
    "boolean": True,
    "double": 0.1,
    "negative zero": -0.0,
    "string": 'Zoë & <b> ]]> "quoted" 😀',
    "blanks": "\r\n a\rb\nc\td \r",
    "empty": "",
    "dateTime": xmlrpc.client.DateTime(datetime(2012, 8, 15, 20, 35, 8)),  # noqa: DTZ001
    "base64": xmlrpc.client.Binary(bytes(range(256)) * 3),
    "array": [[], [None], "", 0, [1, [2, [3]]]],
    "struct": {"b": 1, "a": {"c": []}, "": None, "é\r\n": 2},
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_every_type_survives_the_round_trip(value: Any) -> None:
    """As the standard library's client sends it, and parses it in the response."""
    body = xmlrpc.client.dumps((value,), "set", allow_none=True).encode()
    name, (argument,) = xml_rpc.parse_call(body)
    assert (name, argument, type(argument)) == ("set", value, type(value))
    answer = xml_rpc.response(xml_rpc.marshal(argument))
    assert xmlrpc.client.loads(answer) == ((value,), None)
    assert repr(argument)[:100] == repr(value)[:100] or not isinstance(value, float)


ZOE = (
    "<methodCall><methodName>set</methodName><params>"
    "<param><value>Zoë €</value></param></params></methodCall>"
)
DECLARED = "<?xml version='1.0' encoding='{}'?>" + ZOE


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("utf-8", ZOE.encode()),
        ("windows-1252", ZOE.encode("cp1252")),
        ("ISO-8859-15", ZOE.encode("iso-8859-15")),
        ("utf-8", DECLARED.format("iso-8859-1").encode()),
        ("windows-1252", DECLARED.format("utf-8").encode("cp1252")),
        ("utf-8", DECLARED.format("none-such").encode()),
        ("utf-16", ZOE.encode("utf-16")),
        ("utf-8", ZOE.encode("utf-16")),
        ("windows-1252", ZOE.encode("utf-8-sig")),
        ("none-such", ZOE.encode("utf-8-sig")),
    ],
)  # fmt: skip
def test_the_charset_of_the_type_goes_before_that_of_the_document(
    charset: str, body: bytes
) -> None:
    """But after a byte order mark (RFC 7303, 3.2)."""
    assert xml_rpc.parse_call(body, charset) == ("set", ("Zoë €",))


@pytest.mark.parametrize(
    ("charset", "kind"),
    [("none-such", Kind.UNSUPPORTED_ENCODING), ("us-ascii", Kind.NOT_WELL_FORMED)],
)
def test_a_charset_that_cannot_be_is_a_fault(charset: str, kind: Kind) -> None:
    """As an encoding that the document has."""
    with pytest.raises(Fault) as caught:
        xml_rpc.parse_call(DECLARED.format("utf-8").encode(), charset)
    assert caught.value.faultCode == kind


def test_equal_structs_have_equal_text() -> None:
    """The order in which a client sends the members is not part of the value."""
    (one,) = xml_rpc.parse_call(call(struct("a", "b")))[1]
    (two,) = xml_rpc.parse_call(call(struct("b", "a")))[1]
    assert xml_rpc.marshal(one) == xml_rpc.marshal(two)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(
            f"<value><array><data>{'<value/>' * 10_000}</data></array></value>",
            "more than 10000 elements",
            id="elements",
        ),
        pytest.param(
            f"<value><array><data>{ATTRIBUTES * 4_000}</data></array></value>",
            "more than 10000 elements",
            id="attributes",
        ),
        pytest.param(f"<value {'a' * 50_000}=''/>", "longer than 16384 bytes", id="a tag"),
        pytest.param("\r" * 100_001, "over 100000 lines", id="carriage returns"),
        pytest.param("\rx" + "\n" * 100_000, "over 100000 lines", id="lines"),
        pytest.param(f"<{'a' * 50_000}/>", "longer than 16384 bytes", id="a name"),
        pytest.param(
            f"<value><double>{'1' * 1_000_000}x</double></value>", "form of the type", id="digits"
        ),
        pytest.param(
            f"<value><base64>A{' ' * 1_000_000}!</base64></value>", "form of the type", id="blanks"
        ),
    ],
)
def test_what_would_take_long_to_read_is_refused(value: str, text: str) -> None:
    """All other clients wait meanwhile; some of these calls would take hours."""
    assert text in refusal(call(value)).faultString


@pytest.mark.parametrize("text", ["a\r\n" * 99_000, "\r" * 99_000, "b\n" * 300_000, "c" * 900_000])
def test_a_call_may_have_much_text(text: str) -> None:
    """Also in many lines; if there is a carriage return among their ends, up to a limit."""
    body = xmlrpc.client.dumps((text,), "set").encode()
    assert xml_rpc.parse_call(body) == ("set", (text,))


@pytest.mark.parametrize("size", range(1, 40))
def test_line_ends_are_kept_wherever_a_piece_of_the_call_ends(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between CR and LF; a parser gets a call in pieces."""

    def feed(parser: expat.XMLParserType, document: bytes) -> None:
        for start in range(0, len(document), size):
            parser.Parse(document[start : start + size])
        parser.Parse(b"", True)

    monkeypatch.setattr(xml_rpc, "feed", feed)
    text = "\r\na\rb\nc\r\r\n\n\r"
    body = xmlrpc.client.dumps((text,), "set").encode()
    assert xml_rpc.parse_call(body) == ("set", (text,))


def test_entities_are_never_defined() -> None:
    """A document type declaration is refused before its entities are expanded."""
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa">' + "".join(
        f'<!ENTITY {name} "{10 * f"&{of};"}">' for of, name in pairwise("abcdefghij")
    )
    for head in (f"{bomb}]>", '<!DOCTYPE x SYSTEM "file:///etc/passwd">', "<!DOCTYPE x>"):
        fault = refusal(call("<value>&j;</value>", head))
        assert fault.faultCode == Kind.NOT_XML_RPC
        assert fault.faultString.endswith("document type declarations are not accepted")


def test_a_fault_is_a_response_that_any_client_raises() -> None:
    """Also if its text has characters that XML escapes."""
    body = xml_rpc.fault_response(Fault(Kind.NO_SUCH_KEY, repr("<\r&")))
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xmlrpc.client.loads(body)
    assert (caught.value.faultCode, caught.value.faultString) == (1, r"no such key: '<\r&'")


def test_the_fault_codes_are_fixed() -> None:
    """Clients rely on them; the negative ones are those of the specification."""
    assert {kind.name: kind.value for kind in Kind} == {
        "NO_SUCH_KEY": 1,
        "STORAGE_FAILED": 2,
        "NIL": 3,
        "TOO_LARGE": 4,
        "UNAVAILABLE": 5,
        "UNKNOWN": 6,
        "NOT_WELL_FORMED": -32700,
        "UNSUPPORTED_ENCODING": -32701,
        "NOT_XML_RPC": -32600,
        "NO_SUCH_METHOD": -32601,
        "BAD_ARGUMENT": -32602,
        "INTERNAL_ERROR": -32603,
    }
