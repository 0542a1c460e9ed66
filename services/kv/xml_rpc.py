"""XML-RPC on the wire: calls in, responses out, both as bytes.

What would not survive the round trip is refused before anything is written: values that do not have
the form of their type, integers over 32 bits, a dateTime with a zone, a struct with the same member
twice, deep nesting. Document type declarations are refused, and with them entity bombs.

All clients wait while a call is parsed, so what takes long is refused as well: each element costs 1
to 2 microseconds, however short it is, and 130,000 of them fit into 1 MiB.

Source: the XML-RPC specification of 15 June 1999; <nil/> is its common extension.
"""

import codecs
import xmlrpc.client
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from xml.parsers import expat

from services.kv.faults import Fault, Kind
from services.kv.scalars import ENCODING, SCALARS, WHITE_SPACE

MAX_DEPTH = 64  # of nested arrays and structs
MAX_ELEMENTS = 10_000  # of a call, and attributes
MAX_TAG = 16 * 1024  # bytes
BYTE_ORDER_MARKS = codecs.BOM_UTF8, codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE
MAX_LINES = 100_000  # of a call with carriage returns: each line end is an event then

END = "/"
TYPES = " ".join([*SCALARS, "string", "array", "struct"])
# For each element what may be next in it: at its start (""), and after each element in it.
ELEMENTS: dict[str, dict[str, str]] = {
    "": {"": "methodCall", "methodCall": END},
    "methodCall": {"": "methodName", "methodName": "params /", "params": END},
    "params": {"": "param /", "param": "param /"},
    "param": {"": "value", "value": END},
    "value": {"": f"{TYPES} /", **dict.fromkeys(TYPES.split(), END)},
    "array": {"": "data", "data": END},
    "data": {"": "value /", "value": "value /"},
    "struct": {"": "member /", "member": "member /"},
    "member": {"": "name", "name": "value", "value": END},
}
TEXTS = {name: {"": END} for name in ("methodName", "name", "string", *SCALARS)}
GRAMMAR = {
    element: {before: frozenset(after.split()) for before, after in content.items()}
    for element, content in (ELEMENTS | TEXTS).items()
}
AT_START_OF_VALUE = GRAMMAR["value"][""]

# What stands before and after a value that is marshalled, the values of an array, and a result.
PARAMS = "<params>\n<param>\n", "</param>\n</params>\n"
ARRAY = "<value><array><data>\n", "</data></array></value>\n"
RESPONSE = "<?xml version='1.0'?>\n<methodResponse>\n", "</methodResponse>\n"


def parse_call(body: bytes, charset: str | None = None) -> tuple[str, tuple[Any, ...]]:
    """Return the method name and the arguments of a call; raises Fault for anything else.

    `charset` is the one of Content-Type. It goes before what the document says of its encoding, but
    after a byte order mark (RFC 7303, 3.2).
    """
    unmarshaller = Unmarshaller()
    if body.startswith(BYTE_ORDER_MARKS):
        charset = None
    check_encoding("", charset, 0)
    parser = expat.ParserCreate(charset)
    parser.buffer_text = True  # otherwise each line end is an event
    if charset is None:
        parser.XmlDeclHandler = check_encoding
    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.StartElementHandler = unmarshaller.start
    parser.EndElementHandler = unmarshaller.end
    parser.CharacterDataHandler = unmarshaller.text.append
    if b"\r" in body:
        keep_carriage_returns(parser, body, unmarshaller.text.append)
    try:
        feed(parser, body)
    except expat.ExpatError as error:
        raise Fault(Kind.NOT_WELL_FORMED, str(error)) from None
    except LookupError as error:  # from the table of Python's encodings
        raise Fault(Kind.UNSUPPORTED_ENCODING, str(error)) from None
    return unmarshaller.method, tuple(unmarshaller.arguments)


def marshal(value: Any) -> str:
    """Return a value as XML-RPC; of equal values the text is equal."""
    return xmlrpc.client.dumps((value,), allow_none=True).replace("\r", "&#13;")


def marshal_array(marshalled: Iterable[str]) -> str:
    """Return an array of values that are marshalled already."""
    values = "".join([value[len(PARAMS[0]) : -len(PARAMS[1])] for value in marshalled])
    return f"{PARAMS[0]}{ARRAY[0]}{values}{ARRAY[1]}{PARAMS[1]}"


def response(marshalled: str) -> bytes:
    """Return the response that carries a marshalled value."""
    return f"{RESPONSE[0]}{marshalled}{RESPONSE[1]}".encode()


def strings_response(strings: Iterable[str], size: int) -> Iterator[bytes]:
    """Yield the response that carries an array of strings, in pieces of about `size` bytes."""
    piece = f"{RESPONSE[0]}{PARAMS[0]}{ARRAY[0]}"
    for string in strings:
        piece += f"<value><string>{escape(string)}</string></value>\n"
        if len(piece) >= size:
            yield piece.encode()
            piece = ""
    yield f"{piece}{ARRAY[1]}{PARAMS[1]}{RESPONSE[1]}".encode()


def fault_response(fault: Fault) -> bytes:
    """Return the response that carries a fault."""
    return xmlrpc.client.dumps(fault).replace("\r", "&#13;").encode()


def escape(text: str) -> str:
    """Return a text as it stands in a document; a bare CR would be read as LF (XML 1.0, 2.11)."""
    return xmlrpc.client.escape(text).replace("\r", "&#13;")


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


def keep_carriage_returns(
    parser: expat.XMLParserType, body: bytes, append: Callable[[str], object]
) -> None:
    r"""Have `append` called with the line ends of a text as they are; raises Fault for too many.

    A parser turns CR, and CR LF, into LF (XML 1.0, 2.11), and Python's client sends them as they
    are: the text "a\r\n" would arrive as "a\n". So each line end is looked up in the body. (In
    UTF-16, which is full of NULs, they are not looked up.)
    """
    if body.count(b"\r") + body.count(b"\n") - body.count(b"\r\n") > MAX_LINES:
        raise Fault(Kind.BAD_ARGUMENT, f"a call with carriage returns has over {MAX_LINES} lines")

    def text(data: str) -> None:
        if data == "\n":
            at = parser.CurrentByteIndex
            if body.startswith(b"\r", at):
                data = "\r\n" if body.startswith(b"\n", at + 1) else "\r"
        append(data)

    if b"\0" not in body:
        parser.buffer_text = False
        parser.CharacterDataHandler = text


def check_encoding(_version: str, encoding: str | None, _standalone: int) -> None:
    """Raise Fault for a document in an encoding that is not supported."""
    if encoding is not None and not ENCODING.fullmatch(encoding):
        raise Fault(Kind.UNSUPPORTED_ENCODING, repr(encoding))


def refuse_doctype(*_: object) -> None:
    """Raise Fault for a document type declaration, before expat acts on it."""
    raise Fault(Kind.NOT_XML_RPC, "document type declarations are not accepted")


class Unmarshaller:
    """Makes method name and arguments of the events of a parser, and holds them to the grammar."""

    def __init__(self) -> None:
        self.method = ""
        self.arguments: list[Any] = []
        self.text: list[str] = []  # since the last tag, in pieces
        self._elements = 0
        self._open = [""]  # elements
        self._next = GRAMMAR[""][""]  # what may be next
        self._values = [self.arguments]  # and those of each array, and names and values of structs

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Process the start of an element."""
        self._elements += 1 + len(attributes)
        if self._elements > MAX_ELEMENTS:
            raise Fault(Kind.BAD_ARGUMENT, f"the call has more than {MAX_ELEMENTS} elements")
        if tag not in self._next:
            tag = tag.rpartition(":")[2]  # a prefix, which clients have for their extensions
            if tag not in self._next:
                raise self._out_of_place(f"the element {tag!r:.50}")
        if self.text:
            if text := "".join(self.text).strip(WHITE_SPACE):
                raise self._out_of_place(f"the text {text[:50]!r}")
            self.text.clear()
        self._open.append(tag)
        self._next = GRAMMAR[tag][""]
        if tag in ("array", "struct"):
            self._values.append([])
            if len(self._values) > MAX_DEPTH + 1:
                raise Fault(Kind.BAD_ARGUMENT, f"values are nested more than {MAX_DEPTH} deep")

    def end(self, _tag: str) -> None:
        """Process the end of an element."""
        name = self._open[-1]
        if END not in self._next:
            raise Fault(Kind.NOT_XML_RPC, f"the element {name!r} is incomplete")
        text = "".join(self.text)
        self.text.clear()
        if name in ("string", "name") or self._next is AT_START_OF_VALUE:
            self._values[-1].append(text)
        else:
            text = text.strip(WHITE_SPACE)
            if decode := SCALARS.get(name):
                self._values[-1].append(self._decoded(decode, text))
            elif name == "methodName":
                self.method = text
            elif text:
                raise self._out_of_place(f"the text {text[:50]!r}")
            elif name == "array":
                values = self._values.pop()
                self._values[-1].append(values)
            elif name == "struct":
                members = self._values.pop()
                self._values[-1].append(struct(members[::2], members[1::2]))
        del self._open[-1]
        self._next = GRAMMAR[self._open[-1]][name]

    def _decoded(self, decode: Callable[[str], Any], text: str) -> Any:
        try:
            return decode(text)
        except ValueError:
            kind = f"does not have the form of the type {self._open[-1]!r}"
            raise Fault(Kind.NOT_XML_RPC, f"{text[:50]!r} {kind}") from None

    def _out_of_place(self, what: str) -> Fault:
        where = f" in {self._open[-1]!r}" if self._open[-1] else ""
        return Fault(Kind.NOT_XML_RPC, f"{what} is out of place{where}")


def struct(names: list[str], values: list[Any]) -> dict[str, Any]:
    """Return a struct, in the order of the names; raises Fault if two are the same."""
    members = dict(zip(names, values, strict=True))
    if len(members) < len(names):
        raise Fault(Kind.BAD_ARGUMENT, "a struct has two members with the same name")
    return dict(sorted(members.items()))
