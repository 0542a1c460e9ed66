"""XML-RPC on the wire: calls, results and faults, as Python's client writes them."""

import xmlrpc.client

import pytest

from services.wire import xml_rpc


def test_a_call_is_shown_with_its_arguments() -> None:
    """As Python writes them, each on a line of the details."""
    arguments = (
        "a", 1, 2.5, True, None, [1, {"b": [2]}], xmlrpc.client.Binary(b"\0"),
        xmlrpc.client.DateTime("20261126T06:03:00"),
    )  # fmt: skip
    document = xml_rpc.decode(xmlrpc.client.dumps(arguments, "m", allow_none=True).encode())
    shown = [
        "'a'", "1", "2.5", "True", "None", "[1, {'b': [2]}]", r"b'\x00'",
        "<dateTime.iso8601 20261126T06:03:00>",
    ]  # fmt: skip
    assert document.summary == f"m({', '.join(shown)})"
    assert document.details == (
        "calls m",
        *(f"argument {number}: {text}" for number, text in enumerate(shown, 1)),
    )


def test_a_result_and_a_fault_are_shown() -> None:
    """Each on one line."""
    result = xmlrpc.client.dumps((["x"],), methodresponse=True).encode()
    fault = xmlrpc.client.dumps(xmlrpc.client.Fault(4, "too\nmany")).encode()
    assert xml_rpc.decode(result).summary == "returns ['x']"
    assert xml_rpc.decode(fault).summary == "fault 4: too␊many"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<value><int>x</int></value>", "<int x>"),
        ("<value><boolean>2</boolean></value>", "<boolean 2>"),
        ("<value><unknown>y</unknown></value>", "<unknown y>"),
        ("<value><ex:nil xmlns:ex='e'/></value>", "None"),
        ("<value>text</value>", "'text'"),
        ("<value/>", "''"),
    ],
)
def test_what_a_server_refuses_is_shown_too(value: str, shown: str) -> None:
    """A value of the wrong form is shown as it was sent."""
    params = f"<params><param>{value}</param></params>"
    call = f"<methodCall><methodName>m</methodName>{params}</methodCall>"
    assert xml_rpc.decode(call.encode()).summary == f"m({shown})"
