"""XML-RPC on the wire: calls in, responses out, both as bytes.

The standard library's parser accepts values that could not be returned unchanged. This one refuses
what would not survive the round trip, before anything is written: DTDs (and with them entity
bombs), elements and text out of place, a struct with the same member twice, values that do not
have the form of their type, integers over 32 bits, deep nesting.

All clients wait while a call is parsed, so it also refuses what takes long: each element costs 2 to
3 microseconds, however short it is, and 130,000 of them fit into 1 MiB.

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

MAX_DEPTH = 64  # of nested arrays and structs
MAX_ELEMENTS = 10_000  # of a call, and attributes
MAX_TAG = 16 * 1024  # bytes
MAX_RETURNS = 100_000  # each becomes a reference of five bytes, here and in the store
# Possessive, `++` and `*+`: a match is never given back. To try each way to divide 20,000 digits
# between two `\d` took 15 seconds.
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
# For each element the ones that it may contain, and for each of those the ones that may precede it.
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
    unmarshaller = Unmarshaller()
    parser = expat.ParserCreate()
    parser.buffer_text = True  # otherwise each line break is an event
    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.StartElementHandler = unmarshaller.start
    parser.CharacterDataHandler = unmarshaller.data
    parser.EndElementHandler = unmarshaller.end
    unmarshaller.xml("", None)  # no encoding: expat passes str
    try:
        feed(parser, keep_carriage_returns(body))
        arguments = unmarshaller.close()
    except expat.ExpatError as error:
        raise Fault(Kind.NOT_WELL_FORMED, str(error)) from None
    except Fault:
        raise
    except xmlrpc.client.ResponseError:
        raise Fault(Kind.NOT_XML_RPC) from None
    except (xmlrpc.client.Error, ValueError, TypeError, LookupError, ArithmeticError):
        raise Fault(Kind.NOT_XML_RPC, "a value does not have the form of its type") from None
    if not (method := unmarshaller.getmethodname()):
        raise Fault(Kind.NOT_XML_RPC, "there is no methodName")
    return method, arguments


def marshal(value: Any) -> str:
    """Return `value` as XML-RPC; raises Fault if the protocol cannot express it.

    Equal values give equal text: the members of a struct are in the order of their names.
    """
    try:
        text = xmlrpc.client.dumps((value,), allow_none=True)
    except OverflowError:
        raise Fault(Kind.BAD_ARGUMENT, "an integer does not fit into 32 bits") from None
    except TypeError:
        raise Fault(Kind.BAD_ARGUMENT, "XML-RPC cannot express a value of this type") from None
    return text.replace("\r", "&#13;")


def response(marshalled: str) -> bytes:
    """Return the response that carries a marshalled value."""
    return f"<?xml version='1.0'?>\n<methodResponse>\n{marshalled}</methodResponse>\n".encode()


def fault_response(fault: Fault) -> bytes:
    """Return the response that carries a fault."""
    return xmlrpc.client.dumps(fault).replace("\r", "&#13;").encode()


def feed(parser: expat.XMLParserType, document: bytes) -> None:
    """Parse a document piece by piece; raises Fault for a tag that is too long.

    The parser reads all attributes of a tag before it passes on the first one. Until then its
    position is the start of the tag.
    """
    for start in range(0, len(document), MAX_TAG):
        if start - parser.CurrentByteIndex > MAX_TAG:
            raise Fault(Kind.BAD_ARGUMENT, f"a tag is longer than {MAX_TAG} bytes")
        parser.Parse(document[start : start + MAX_TAG])
    parser.Parse(b"", True)


def keep_carriage_returns(body: bytes) -> bytes:
    r"""Replace each CR in a call by a character reference; raises Fault for too many.

    A parser turns CR, and CR LF, into LF (XML 1.0, 2.11), and Python's client sends them as they
    are: the text "a\r\n" would arrive as "a\n". References are allowed only within the document's
    element, and not recognised in a CDATA section.
    """
    head, start, rest = body.partition(b"<methodCall>")
    if b"\r" not in rest or b"<![CDATA[" in rest:
        return body
    if rest.count(b"\r") > MAX_RETURNS:
        raise Fault(Kind.BAD_ARGUMENT, f"the call has more than {MAX_RETURNS} carriage returns")
    return head + start + rest.rstrip().replace(b"\r", b"&#13;")


def refuse_doctype(*_: object) -> None:
    """Raise Fault for a document type declaration, before expat acts on it."""
    raise Fault(Kind.NOT_XML_RPC, "document type declarations are not accepted")


class Unmarshaller(xmlrpc.client.Unmarshaller):
    """The standard library's class, made strict: by itself it accepts elements in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._elements = 0
        self._open = [""]
        self._before = ""  # the previous element in the one that is open

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        """Process the start of an element."""
        self._elements += 1 + len(attrs)
        if self._elements > MAX_ELEMENTS:
            raise Fault(Kind.BAD_ARGUMENT, f"the call has more than {MAX_ELEMENTS} elements")
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
            if len(self._marks) > MAX_DEPTH:
                raise Fault(Kind.BAD_ARGUMENT, f"values are nested more than {MAX_DEPTH} deep")

    def end(self, _tag: str) -> None:
        """Process the end of an element."""
        name = self._open.pop()
        text = "".join(self._data)
        if text.strip() and name in CONTENT and (name, self._before) != ("value", ""):
            raise Fault(Kind.NOT_XML_RPC, "text is out of place")
        if decode := DECODERS.get(name):
            decode(self, text)
        self._before = name
        self._data = []  # the text does not belong to the enclosing element

    def checked(self, text: str, tag: str) -> None:
        """Decode a value if it has the form of its type; the library accepts more than that."""
        if not FORMS[tag].fullmatch(text.strip()):
            raise ValueError(f"not a {tag}")
        xmlrpc.client.Unmarshaller.dispatch[tag](self, text)
        value = self._stack[-1]
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("the double is too large")

    def struct(self, _text: str) -> None:
        """Build a dict of the members since the last mark, in the order of their names."""
        start = self._marks.pop()
        members: list[Any] = self._stack[start:]
        struct = dict(sorted(zip(members[::2], members[1::2], strict=True), key=itemgetter(0)))
        if 2 * len(struct) != len(members):
            raise Fault(Kind.BAD_ARGUMENT, "a struct has two members with the same name")
        self._stack[start:] = [struct]
        self._value = False


DECODERS: dict[str, Callable[[Any, str], None]] = {
    **xmlrpc.client.Unmarshaller.dispatch,
    "struct": Unmarshaller.struct,
    **{tag: partial(Unmarshaller.checked, tag=tag) for tag in FORMS},
}
