"""XML-RPC: the call, the result or the fault in a document.

Expat parses it, within limits: a document type declaration, and so every entity, is refused, depth
and number of elements are bounded. Nothing is checked that does not have to be, so that what a
server refuses is shown too. Source: the XML-RPC specification of 15 June 1999, and its <nil/>.
"""

import base64
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from services.wire.visible import brief, counted, line

MAX_DEPTH = 100  # elements; an array in an array takes three of them
MAX_ELEMENTS = 10_000
MAX_NUMBER = 40  # characters
MAX_SHOWN = 160  # columns
MAX_ARGUMENTS = 30  # that are shown


class NotXMLRPC(ValueError):
    """The document is not XML-RPC, or exceeds a limit."""


@dataclass(slots=True)
class Element:
    """An element: its name without a prefix, its text, and the elements in it."""

    name: str
    text: str = ""
    content: list["Element"] = field(default_factory=list)

    def child(self, name: str) -> "Element":
        """Return the first element of that name; raises NotXMLRPC if there is none."""
        for each in self.content:
            if each.name == name:
                return each
        raise NotXMLRPC(f"<{line(self.name, 30)}> has no <{name}>")


class Shown(str):
    """A value that is shown as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Document:
    """What a document says: one line, and each argument, result or fault on one."""

    summary: str
    details: tuple[str, ...]


def decode(body: bytes) -> Document:
    """Return what a document says; raises NotXMLRPC."""
    root = parse(body)
    if root.name == "methodCall":
        method = line(root.child("methodName").text.strip(), 60)
        arguments = [value(each.child("value")) for each in params(root)]
        shown = ", ".join(brief(each, MAX_SHOWN) for each in arguments[:8])
        more = ", …" if len(arguments) > 8 else ""
        details = [
            f"argument {number}: {brief(each, MAX_SHOWN)}"
            for number, each in enumerate(arguments[:MAX_ARGUMENTS], 1)
        ]
        if len(arguments) > MAX_ARGUMENTS:
            details.append(f"… {counted(len(arguments) - MAX_ARGUMENTS, 'more argument')}")
        return Document(f"{method}({shown}{more})", (f"calls {method}", *details))
    if root.name != "methodResponse":
        raise NotXMLRPC(f"<{line(root.name, 30)}> is no element that XML-RPC begins with")
    if root.content and root.content[0].name == "fault":
        fault = value(root.child("fault").child("value"))
        if isinstance(fault, dict):
            code, text = fault.get("faultCode"), fault.get("faultString")
            said = line(text, MAX_SHOWN) if isinstance(text, str) else brief(text, MAX_SHOWN)
            shown = f"fault {brief(code, 20)}: {said}"
        else:
            shown = f"fault: {brief(fault, MAX_SHOWN)}"
        return Document(shown, (shown,))
    results = [f"returns {brief(value(each.child('value')), MAX_SHOWN)}" for each in params(root)]
    if len(results) != 1:
        raise NotXMLRPC(f"a response has one result, and not {len(results)}")
    return Document(results[0], (results[0],))


def params(root: Element) -> list[Element]:
    """Return the parameters; they may be missing altogether."""
    return [each for found in root.content if found.name == "params" for each in found.content]


def value(element: Element) -> Any:
    """Return the value of a <value>, as plain data; a wrong number is shown as it was sent."""
    if not element.content:
        return element.text
    content = element.content[0]
    text = content.text.strip()
    match content.name:
        case "array":
            return [value(each) for each in content.child("data").content]
        case "struct":
            return {
                member.child("name").text: value(member.child("value"))
                for member in content.content
            }
        case "nil":
            return None
        case "string":
            return content.text
        case "boolean" if text in ("0", "1"):
            return text == "1"
        case "base64":
            try:
                return base64.b64decode(text)
            except ValueError:
                pass
    short = len(text) <= MAX_NUMBER
    try:
        if short and content.name in ("int", "i1", "i2", "i4", "i8", "biginteger"):
            return int(text)
        if short and content.name in ("double", "float"):
            return float(text)
    except ValueError:
        pass
    return Shown(f"<{content.name[:30]} {text[:MAX_NUMBER]}>")


def parse(body: bytes) -> Element:
    """Return the root element; raises NotXMLRPC."""
    document = Element("")
    open_elements = [document]
    count = 0

    def start(name: str, _attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > MAX_ELEMENTS:
            raise NotXMLRPC(f"the document has more than {MAX_ELEMENTS:,} elements")
        if len(open_elements) > MAX_DEPTH:
            raise NotXMLRPC(f"elements are nested more than {MAX_DEPTH} deep")
        element = Element(name.rpartition(":")[2])
        open_elements[-1].content.append(element)
        open_elements.append(element)
        texts.append([])

    def end(_name: str) -> None:
        open_elements.pop().text = "".join(texts.pop())

    def add(text: str) -> None:
        texts[-1].append(text)

    def refuse(*_: object) -> None:
        raise NotXMLRPC("the document has a document type declaration, which may define entities")

    texts: list[list[str]] = [[]]
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = add
    try:
        parser.Parse(body, True)
    except NotXMLRPC:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: its encoding
        raise NotXMLRPC(f"the document is not well-formed: {error}") from None
    return document.content[0]
