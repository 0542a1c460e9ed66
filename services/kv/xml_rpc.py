"""XML-RPC on the wire: calls in, answers out, both as bytes.

The standard library's reader takes more than can be given back unchanged. This one refuses what
would not survive the round trip, so that it is refused before anything is written: DTDs (and with
them entity bombs), elements and text out of place, a struct with one member twice, values that
have not the form of their type, integers over 32 bits, deep nesting.

Everybody waits while a call is read, so it also refuses what takes long to read: it costs 2 to 3
microseconds for each element, however short, and 1 MiB has room for 130,000.

Source: the XML-RPC specification of 15 June 1999; <nil/> is its common extension.
"""

import math
import re
import xmlrpc.client
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any
from xml.parsers import expat

from services.kv.faults import Fault, Kind

DEEPEST = 64  # arrays and structs within one another
MOST_ELEMENTS = 10_000  # and attributes, in a call
LONGEST_TAG = 16 * 1024  # bytes
MOST_RETURNS = 100_000  # each is five bytes as a reference, here and in the store
# Possessive, `++` and `*+`: nothing that was matched is given back. To try each way to share out
# 20,000 digits among two `\d` took a quarter of a minute.
INT = re.compile(r"[+-]?\d++", re.ASCII)
DOUBLE = re.compile(r"[+-]?(\d++(\.\d*+)?|\.\d++)([eE][+-]?\d++)?", re.ASCII)
FORMS = {
    **dict.fromkeys(("int", "i1", "i2", "i4", "i8", "biginteger"), INT),
    **dict.fromkeys(("double", "float"), DOUBLE),
    "dateTime.iso8601": re.compile(r"\d{8}T\d\d:\d\d:\d\d", re.ASCII),
    "base64": re.compile(r"[A-Za-z0-9+/\s]*+[=\s]*+", re.ASCII),
    "nil": re.compile(r"\s*+"),
}
TYPES = [*FORMS, "string", "boolean", "bigdecimal", "array", "struct"]
# Of each element those that may come within it, and these each with those they may come after.
CONTENT: dict[str, dict[str, tuple[str, ...]]] = {
    "": {"methodCall": ("",)},
    "methodCall": {"methodName": ("",), "params": ("", "methodName")},
    "params": {"param": ("", "param")},
    "param": {"value": ("",)},
    "value": dict.fromkeys(TYPES, ("",)),
    "array": {"data": ("",)},
    "data": {"value": ("", "value")},
    "struct": {"member": ("", "member")},
    "member": {"name": ("",), "value": ("name",)},
}


def parse_call(body: bytes) -> tuple[str, tuple[Any, ...]]:
    """Return the method name and the arguments of a call; raises Fault for anything else."""
    reader = Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True  # otherwise each end of a line is an event by itself
    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.StartElementHandler = reader.start
    parser.CharacterDataHandler = reader.data
    parser.EndElementHandler = reader.end
    reader.xml("", None)  # no encoding: expat hands out str
    try:
        feed(parser, keep_carriage_returns(body))
        arguments = reader.close()
    except expat.ExpatError as error:
        raise Fault(Kind.NOT_WELL_FORMED, str(error)) from None
    except Fault:
        raise
    except xmlrpc.client.ResponseError:
        raise Fault(Kind.NOT_XML_RPC) from None
    except (xmlrpc.client.Error, ValueError, TypeError, LookupError, ArithmeticError):
        raise Fault(Kind.NOT_XML_RPC, "a value is not of its type") from None
    if not (method := reader.getmethodname()):
        raise Fault(Kind.NOT_XML_RPC, "there is no methodName")
    return method, arguments


def marshal(value: Any) -> str:
    """Return `value` as XML-RPC; raises Fault where the protocol has no form for it.

    Equal values give equal text: the members of a struct are in the order of their names.
    """
    try:
        text = xmlrpc.client.dumps((value,), allow_none=True)
    except OverflowError:
        raise Fault(Kind.BAD_ARGUMENT, "an integer does not fit into 32 bits") from None
    except TypeError:
        raise Fault(Kind.BAD_ARGUMENT, "a value has no form in XML-RPC") from None
    return text.replace("\r", "&#13;")


def response(marshalled: str) -> bytes:
    """Return the response that carries a marshalled value."""
    return f"<?xml version='1.0'?>\n<methodResponse>\n{marshalled}</methodResponse>\n".encode()


def fault_response(fault: Fault) -> bytes:
    """Return the response that carries a fault."""
    return xmlrpc.client.dumps(fault).replace("\r", "&#13;").encode()


def feed(parser: expat.XMLParserType, document: bytes) -> None:
    """Parse a document piece by piece; raises Fault for a tag that is longer than it may be.

    The parser reads all attributes of a tag before it tells of the first. It stays at the start
    of what it has not all of.
    """
    for start in range(0, len(document), LONGEST_TAG):
        if start - parser.CurrentByteIndex > LONGEST_TAG:
            raise Fault(Kind.BAD_ARGUMENT, f"a tag is longer than {LONGEST_TAG} bytes")
        parser.Parse(document[start : start + LONGEST_TAG])
    parser.Parse(b"", True)


def keep_carriage_returns(body: bytes) -> bytes:
    r"""Write each CR of a call as a character reference; raises Fault for too many.

    A parser turns a bare CR, and CR LF, into LF (XML 1.0, 2.11), and Python's client sends them
    bare: the text "a\r\n" would arrive as "a\n". References are only allowed inside the document's
    element, and mean nothing in a CDATA section.
    """
    head, start, rest = body.partition(b"<methodCall>")
    if b"\r" not in rest or b"<![CDATA[" in rest:
        return body
    if rest.count(b"\r") > MOST_RETURNS:
        raise Fault(Kind.BAD_ARGUMENT, f"a call of more than {MOST_RETURNS} carriage returns")
    return head + start + rest.rstrip().replace(b"\r", b"&#13;")


def refuse_doctype(*_: object) -> None:
    """Refuse a document type declaration before expat acts on it."""
    raise Fault(Kind.NOT_XML_RPC, "a document type declaration is not accepted")


class Reader(xmlrpc.client.Unmarshaller):
    """The standard library's reader, made strict: by itself it takes any elements in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._elements = 0
        self._open = [""]
        self._before = ""  # the element that ended last within the one that is open

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        """Take the start of an element."""
        self._elements += 1 + len(attrs)
        if self._elements > MOST_ELEMENTS:
            raise Fault(Kind.BAD_ARGUMENT, f"a call of more than {MOST_ELEMENTS} elements")
        name = tag.rpartition(":")[2]
        if self._before not in CONTENT.get(self._open[-1], {}).get(name, ()):
            raise Fault(Kind.NOT_XML_RPC, "an element is out of place")
        if self._data and "".join(self._data).strip():
            raise Fault(Kind.NOT_XML_RPC, "text is out of place")
        self._open.append(name)
        self._before = ""
        self._data = []
        self._value = name == "value"
        if name in ("array", "struct"):
            self._marks.append(len(self._stack))
            if len(self._marks) > DEEPEST:
                raise Fault(Kind.BAD_ARGUMENT, f"values nest more than {DEEPEST} deep")

    def end(self, _tag: str) -> None:
        """Take the end of an element."""
        name = self._open.pop()
        text = "".join(self._data)
        if text.strip() and name in CONTENT and (name, self._before) != ("value", ""):
            raise Fault(Kind.NOT_XML_RPC, "text is out of place")
        if decode := DECODERS.get(name):
            decode(self, text)
        self._before = name
        self._data = []  # it is not that of the element around

    def checked(self, text: str, tag: str) -> None:
        """Take a value that has the form of its type; the library would take more than that."""
        if not FORMS[tag].fullmatch(text.strip()):
            raise ValueError(f"not a {tag}")
        xmlrpc.client.Unmarshaller.dispatch[tag](self, text)
        value = self._stack[-1]
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("a double too large")

    def struct(self, _text: str) -> None:
        """Build a dict of the members since the last mark, in the order of their names."""
        start = self._marks.pop()
        members: list[Any] = self._stack[start:]
        struct = dict(sorted(zip(members[::2], members[1::2], strict=True), key=itemgetter(0)))
        if 2 * len(struct) != len(members):
            raise Fault(Kind.BAD_ARGUMENT, "a struct has two members of one name")
        self._stack[start:] = [struct]
        self._value = False


DECODERS: dict[str, Callable[[Any, str], None]] = {
    **xmlrpc.client.Unmarshaller.dispatch,
    "struct": Reader.struct,
    **{tag: partial(Reader.checked, tag=tag) for tag in FORMS},
}
