"""XML-RPC on the wire: what is accepted, and what is refused."""

import xmlrpc.client
from datetime import datetime
from itertools import pairwise
from typing import Any

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


def test_equal_structs_have_equal_text() -> None:
    """The order in which a client sends the members is not part of the value."""
    (one,) = xml_rpc.parse_call(call(struct("a", "b")))[1]
    (two,) = xml_rpc.parse_call(call(struct("b", "a")))[1]
    assert xml_rpc.marshal(one) == xml_rpc.marshal(two)


def test_a_value_without_a_type_is_a_string() -> None:
    """As the specification says."""
    assert xml_rpc.parse_call(call("<value>x</value>")) == ("set", ("x",))


def test_a_cdata_section_keeps_what_a_reference_would_break() -> None:
    """`&#13;` is five characters there."""
    assert xml_rpc.parse_call(call("<value><![CDATA[a&b\r\n]]></value>"))[1] == ("a&b\n",)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        pytest.param("<value>\0</value>", Kind.NOT_WELL_FORMED, id="NUL"),
        pytest.param("<value>&#0;</value>", Kind.NOT_WELL_FORMED, id="a reference to NUL"),
        pytest.param("<value>\x1b</value>", Kind.NOT_WELL_FORMED, id="a control character"),
        pytest.param("<value>\ud800</value>", Kind.NOT_WELL_FORMED, id="a lone surrogate"),
        pytest.param("<value>&#xD800;</value>", Kind.NOT_WELL_FORMED, id="a reference to one"),
        pytest.param("<value>", Kind.NOT_WELL_FORMED, id="an open element"),
        pytest.param("<value>&x;</value>", Kind.NOT_WELL_FORMED, id="an entity of nobody"),
        pytest.param("<value><i8>2147483648</i8></value>", Kind.BAD_ARGUMENT, id="i8 of 2**31"),
        pytest.param("<value><int>2147483648</int></value>", Kind.BAD_ARGUMENT, id="2**31"),
        pytest.param("<value><int>-2147483649</int></value>", Kind.BAD_ARGUMENT, id="-2**31-1"),
        pytest.param(f"<value><int>{'9' * 5000}</int></value>", Kind.NOT_XML_RPC, id="digits"),
        pytest.param("<value><bigdecimal>1</bigdecimal></value>", Kind.BAD_ARGUMENT, id="decimal"),
        pytest.param(
            "<value><bigdecimal>x</bigdecimal></value>", Kind.NOT_XML_RPC, id="no decimal"
        ),
        pytest.param("<value><int>ten</int></value>", Kind.NOT_XML_RPC, id="no int"),
        pytest.param("<value><boolean>2</boolean></value>", Kind.NOT_XML_RPC, id="no boolean"),
        pytest.param("<value><double>x</double></value>", Kind.NOT_XML_RPC, id="no double"),
        pytest.param("<value><float>nan</float></value>", Kind.NOT_XML_RPC, id="no float"),
        pytest.param("<value><base64>x</base64></value>", Kind.NOT_XML_RPC, id="no base64"),
        pytest.param(
            "<value><dateTime.iso8601>&lt;b&gt;</dateTime.iso8601></value>",
            Kind.NOT_XML_RPC,
            id="no dateTime",
        ),
        pytest.param("<value><unheard/></value>", Kind.NOT_XML_RPC, id="an unknown type"),
        pytest.param("<value><data></data></value>", Kind.NOT_XML_RPC, id="data without array"),
        pytest.param(struct("a", "b", "a"), Kind.BAD_ARGUMENT, id="a member twice"),
        pytest.param(
            "<value><array><data>" * 70 + "</data></array></value>" * 70,
            Kind.BAD_ARGUMENT,
            id="deep nesting",
        ),
    ],
)
def test_what_would_not_come_back_unchanged_is_refused(value: str, kind: Kind) -> None:
    """The fault is of a documented kind and tells nothing about the server's code."""
    fault = refusal(call(value))
    assert fault.faultCode == kind
    for internal in ("Error", "class", "Fault", "Traceback", "xmlrpc", "<"):
        assert internal not in fault.faultString


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("<value>a<nil/></value>", id="text before a value"),
        pytest.param("<value><nil/>a</value>", id="text after a value"),
        pytest.param("<value><string>a<i4>1</i4>b</string></value>", id="an element in text"),
        pytest.param("<value><i4>1</i4><i4>2</i4></value>", id="two in one"),
        pytest.param("<value></value><value></value>", id="two arguments in one"),
        pytest.param("<i4>1</i4>", id="a type without a value"),
        pytest.param("<value><array><value/></array></value>", id="array without data"),
        pytest.param(struct().replace("><", "><member><value/></member><"), id="no name"),
        pytest.param(struct().replace("><", "><member><name/><name/></member><"), id="two names"),
        pytest.param(struct().replace("><", ">a<"), id="text in a struct"),
        pytest.param("<a/>", id="an element of nobody"),
    ],
)
def test_what_is_out_of_place_is_refused(value: str) -> None:
    """The library would accept it, and decode a different value than was meant."""
    fault = refusal(call(value))
    assert fault.faultCode == Kind.NOT_XML_RPC
    assert "out of place" in fault.faultString


def test_two_calls_in_one_are_refused() -> None:
    """It is ambiguous which of the methods is called."""
    assert refusal(call("<value/>").replace(b"<params>", b"<methodName/><params>")).faultCode == (
        Kind.NOT_XML_RPC
    )


def test_a_prefix_of_a_type_is_no_matter() -> None:
    """Some clients send their extensions so, and declare the prefix."""
    body = call("<value><ex:nil/></value>").replace(b"<methodCall>", b"<methodCall xmlns:ex='x'>")
    assert xml_rpc.parse_call(body) == ("set", (None,))


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
        pytest.param("\r" * 100_001, "more than 100000 carriage returns", id="line ends"),
        pytest.param(f"<{'a' * 50_000}/>", "longer than 16384 bytes", id="a name"),
        pytest.param(
            f"<value><double>{'1' * 1_000_000}x</double></value>", "of its type", id="digits"
        ),
        pytest.param(
            f"<value><base64>A{' ' * 1_000_000}!</base64></value>", "of its type", id="blanks"
        ),
    ],
)
def test_what_would_take_long_to_read_is_refused(value: str, text: str) -> None:
    """All other clients wait meanwhile; some of these calls would take hours."""
    assert text in refusal(call(value)).faultString


def test_a_call_may_have_as_much_text_as_it_likes() -> None:
    """Also with many lines, and with line breaks that become references."""
    text = "a\r\n" * 100_000 + "b\n" * 300_000
    body = xmlrpc.client.dumps((text,), "set").encode()
    assert xml_rpc.parse_call(body) == ("set", (text,))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello", id="no XML"),
        pytest.param(b'{"method": "get"}', id="JSON"),
        pytest.param(call("<value/>")[:-1], id="cut short"),
        pytest.param(call("<value/>") + b"x", id="bytes after the end"),
    ],
)
def test_what_is_not_xml_is_not_well_formed(body: bytes) -> None:
    """That is one fault code."""
    assert refusal(body).faultCode == Kind.NOT_WELL_FORMED


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html/>", id="another document"),
        pytest.param(b"<methodCall/>", id="an empty call"),
        pytest.param(b"<fault/>", id="an empty fault"),
        pytest.param(xmlrpc.client.dumps(xmlrpc.client.Fault(1, "x")).encode(), id="a fault"),
        pytest.param(xmlrpc.client.dumps((1,), methodresponse=True).encode(), id="a response"),
    ],
)
def test_what_is_not_a_call_is_not_xml_rpc(body: bytes) -> None:
    """That is another fault code."""
    assert refusal(body).faultCode == Kind.NOT_XML_RPC


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
        "NOT_WELL_FORMED": -32700,
        "NOT_XML_RPC": -32600,
        "NO_SUCH_METHOD": -32601,
        "BAD_ARGUMENT": -32602,
        "INTERNAL_ERROR": -32603,
    }
