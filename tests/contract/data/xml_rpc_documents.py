"""A grammar suite of XML-RPC: documents, and for each the value that it sets, or its fault code.

A valid document sets the name `x`. Sources: the specification of 15 June 1999 with its <nil/>
extension, and XML 1.0; a comment says what decides where they do not.
"""

from typing import Any, NamedTuple
from xmlrpc.client import Binary, DateTime

NOT_WELL_FORMED, UNSUPPORTED_ENCODING = -32700, -32701
NOT_XML_RPC, NO_SUCH_METHOD, BAD_ARGUMENT = -32600, -32601, -32602


class Document(NamedTuple):
    """A document; `value` is what it sets, unless there is a fault `code`."""

    body: bytes
    value: Any = None
    code: int | None = None


def call(value: str, start: str = "", name: str = "x") -> str:
    """Return a call that sets a name to a value given as XML."""
    return (
        f"{start}<methodCall><methodName>set</methodName><params><param><value>{name}</value>"
        f"</param><param>{value}</param></params></methodCall>"
    )


def typed(kind: str, text: str) -> str:
    """Return a call that sets a value of a type, with a text in it."""
    return call(f"<value><{kind}>{text}</{kind}></value>")


def member(name: str, value: str = "<value>1</value>") -> str:
    """Return a member of a struct."""
    return f"<member><name>{name}</name>{value}</member>"


def struct(*members: str) -> str:
    """Return a call that sets a struct."""
    return call(f"<value><struct>{''.join(members)}</struct></value>")


def nested(depth: int) -> Any:
    """Return a list in a list, and so on."""
    return [nested(depth - 1)] if depth > 1 else []


def pretty(line_end: str, indent: str) -> str:
    """Return a call with each tag on a line of its own."""
    return call("<value><int>1</int></value>").replace("><", f">{line_end}{indent}<")


START = "<value><array><data>"
END = "</data></array></value>"
DECLARED = "<?xml version='1.0' encoding='{}'?>"
ZOE = call("<value>Zoë</value>", DECLARED)
PLAIN = call("<value>1</value>")

# Of values that are text: type, text, and the value.
VALUES: list[tuple[str, str, Any]] = [
    *((kind, "1", 1) for kind in ("int", "i4", "i8", "i1", "i2", "biginteger")),
    ("int", "-12", -12),
    ("int", "+12", 12),
    ("int", "0012", 12),
    ("int", "-0", 0),
    ("int", "2147483647", 2**31 - 1),
    ("int", "-2147483648", -(2**31)),
    ("int", " 1 ", 1),
    ("int", "\r\n\t1\r\n", 1),
    ("int", "<!-- one -->1", 1),
    ("int", "<![CDATA[1]]>", 1),
    ("int", "&#49;", 1),
    ("boolean", "1", True),
    ("boolean", "0", False),
    ("boolean", " 1 ", True),
    ("boolean", "\r\n0\r\n", False),
    ("double", "-12.214", -12.214),
    ("double", "1", 1.0),
    ("double", "1.", 1.0),
    ("double", ".5", 0.5),
    ("double", "+5e-1", 0.5),  # the specification has no exponents, and all clients send them
    ("double", " 0.5 ", 0.5),
    ("double", "\n0.5\n", 0.5),
    ("float", "0.5", 0.5),
    ("string", "", ""),
    ("string", " a ", " a "),
    ("string", "\t\n", "\t\n"),
    ("string", "a\r\nb\rc\nd", "a\r\nb\rc\nd"),  # XML has them all as \n, and clients mean \r\n
    ("string", "a&#13;&#10;b", "a\r\nb"),
    ("string", "&lt;nil/&gt;&amp;&quot;&apos;", "<nil/>&\"'"),
    ("string", "<![CDATA[<b>&amp;\r\n]]>", "<b>&amp;\r\n"),
    ("string", "a<!-- b -->c<?d e?>f", "acf"),
    ("string", "]] > 😀 \u2028", "]] > 😀 \u2028"),
    ("dateTime.iso8601", "19980717T14:08:55", DateTime("19980717T14:08:55")),
    ("dateTime.iso8601", " 19980717T14:08:55\r\n", DateTime("19980717T14:08:55")),
    ("dateTime.iso8601", "1998-07-17T14:08:55", DateTime("19980717T14:08:55")),
    ("dateTime.iso8601", "19980717T140855", DateTime("19980717T14:08:55")),
    ("dateTime.iso8601", "20000229T23:59:59", DateTime("20000229T23:59:59")),
    ("dateTime.iso8601", "00010101T00:00:00", DateTime("00010101T00:00:00")),
    ("base64", "", Binary(b"")),
    ("base64", "eW91IGNhbid0", Binary(b"you can't")),
    ("base64", "\r\neW91\r\n IGNh\tbid0\n", Binary(b"you can't")),
    ("base64", "/+A=", Binary(b"\xff\xe0")),
    ("nil", "", None),
    ("nil", " \r\n", None),
]

# Type, text, and the fault.
FAULTS: list[tuple[str, str, int]] = [
    *(
        ("int", text, NOT_XML_RPC)
        for text in ("", " ", "ten", "1.0", "1e3", "1_000", "0x10", "--1", "1 2", "\u0661", "\xa01")
    ),
    *(("int", text, BAD_ARGUMENT) for text in ("2147483648", "-2147483649", "9" * 5000)),
    ("i8", "2147483648", BAD_ARGUMENT),  # would come back as another type, or not at all
    *(("boolean", text, NOT_XML_RPC) for text in ("", "2", "true", "01", "1 1")),
    *(
        ("double", text, NOT_XML_RPC)
        for text in ("", "x", "nan", "inf", "1e999", "1,5", "0x1p3", ".", "1 .5", "\u0661.5")
    ),
    ("bigdecimal", "0.5", BAD_ARGUMENT),  # nothing could return it
    ("bigdecimal", "x", NOT_XML_RPC),
    *(
        ("dateTime.iso8601", text, NOT_XML_RPC)
        for text in (
            "", "now", "&lt;b&gt;", "20121315T99:99:99", "20121315T00:00:00", "20120230T00:00:00",
            "20120815T24:00:00", "20120815T23:60:00", "20120815T23:59:60", "00000101T00:00:00",
            "20120815 20:35:08", "20120815T20:3508", "20120815T2035:08",
            "2012-0815T20:35:08", "20120815T20:35", "120815T20:35:08", "20120815t20:35:08",
        )
    ),
    *(
        # The type has no zone, and clients that decode it cannot read one.
        ("dateTime.iso8601", f"20120815T20:35:08{zone}", BAD_ARGUMENT)
        for zone in ("Z", "+02:00", "-0230", ".5", ".000Z")
    ),
    *(
        ("base64", text, NOT_XML_RPC)
        for text in ("x", "!!!!", "eW9", "eW91=", "=", "====", "e===", "eW9=IGNh", "ëW91")
    ),
    ("nil", "x", NOT_XML_RPC),
    ("string", "\0", NOT_WELL_FORMED),
    ("string", "&#0;", NOT_WELL_FORMED),
    ("string", "\x1b", NOT_WELL_FORMED),
    ("string", "&#xD800;", NOT_WELL_FORMED),
    ("string", "&x;", NOT_WELL_FORMED),
    ("string", "a & b", NOT_WELL_FORMED),
    ("string", "]]>", NOT_WELL_FORMED),
    ("string", "<int>1</int>", NOT_XML_RPC),
    ("i3", "1", NOT_XML_RPC),
    ("data", "", NOT_XML_RPC),
]  # fmt: skip

# Whole documents: what is sent, and the value or the fault.
VALID: dict[str, tuple[str | bytes, Any]] = {
    "a value without a type": (call("<value> a </value>"), " a "),
    "an empty value": (call("<value/>"), ""),
    "an empty value in two tags": (call("<value></value>"), ""),
    "a value of line ends": (call("<value>\r\n</value>"), "\r\n"),
    "white space around a type": (call("<value>\r\n <int>1</int>\r\n</value>"), 1),
    "white space around the method": (PLAIN.replace(">set<", ">\r\n set \t<"), "1"),
    "lines that end with LF": (pretty("\n", "  "), 1),
    "lines that end with CR LF": (pretty("\r\n", "  "), 1),
    "lines that end with CR": (pretty("\r", "\t"), 1),
    "a line end in each tag": (PLAIN.replace(">", "\r\n>"), "1"),
    "line ends in a tag and in a text": (
        call("<value\r\n><string\r>a\r\n</string></value>"),
        "a\r\n",
    ),
    "line ends in the first tag": (
        call("<value>a\r</value>").replace("<methodCall>", "<methodCall\r\n>"),
        "a\r",
    ),
    "line ends around the call": ("\r\n" + PLAIN + "\r\n", "1"),
    "attributes": (call("<value a='>\r\n' b=\"'\">a\r</value>"), "a\r"),
    "a namespace": (
        call("<value><ex:nil/></value>").replace("<methodCall>", "<methodCall xmlns:ex='x'>"),
        None,
    ),
    "a prefix": (call("<value><ex:i8>1</ex:i8></value>"), 1),
    "comments everywhere": (pretty("<!-- \r\n -->", ""), 1),
    "a processing instruction": (PLAIN.replace("<params>", "<?x \r\n?><params>"), "1"),
    "a comment before and after": (f"<!-- a -->{PLAIN}<!-- b -->", "1"),
    "UTF-8": (ZOE.format("utf-8"), "Zoë"),
    "UTF-8 in capitals": (ZOE.format("UTF-8"), "Zoë"),
    "UTF-8 with a mark": (ZOE.format("utf-8").encode("utf-8-sig"), "Zoë"),
    "no declaration": (call("<value>Zoë 😀</value>"), "Zoë 😀"),
    "a declaration without encoding": (call("<value>Zoë</value>", "<?xml version='1.0'?>"), "Zoë"),
    "UTF-16": (ZOE.format("utf-16").encode("utf-16"), "Zoë"),
    "line ends in UTF-16": (  # which the parser replaces, as XML 1.0, 2.11, has it
        call("<value>a\r\nb\rc</value>", DECLARED.format("utf-16")).encode("utf-16"),
        "a\nb\nc",
    ),
    "ISO-8859-1": (ZOE.format("ISO-8859-1").encode("latin-1"), "Zoë"),
    "ISO-8859-15": (
        call("<value>€</value>", DECLARED.format("iso-8859-15")).encode("iso-8859-15"),
        "€",
    ),
    "windows-1252": (
        call("<value>€</value>", DECLARED.format("windows-1252")).encode("cp1252"),
        "€",
    ),
    "KOI8-R": (call("<value>Ж</value>", DECLARED.format("koi8-r")).encode("koi8-r"), "Ж"),
    "US-ASCII": (call("<value>Zo&#235;</value>", DECLARED.format("us-ascii")), "Zoë"),
    "an empty array": (call(START + END), []),
    "an array of all kinds": (
        call(f"{START}<value>1</value><value><nil/></value>{START}{END}{END}"),
        ["1", None, []],
    ),
    "line ends in an array": (call(f"{START}\r\n<value/>\r\n{END}"), [""]),
    "64 arrays in one another": (call(START * 64 + END * 64), nested(64)),
    "an empty struct": (struct(), {}),
    "a struct": (struct(member("b"), member("a")), {"a": "1", "b": "1"}),
    "a member without a name": (struct(member("")), {"": "1"}),
    "blanks in the name of a member": (struct(member(" a ")), {" a ": "1"}),
    "line ends in the name of a member": (struct(member("a\r\n")), {"a\r\n": "1"}),
    "a struct in a struct": (struct(member("a", START + END)), {"a": []}),
}

INVALID: dict[str, tuple[str | bytes, int]] = {
    "nothing": ("", NOT_WELL_FORMED),
    "no XML": ("hello", NOT_WELL_FORMED),
    "JSON": ('{"method": "set"}', NOT_WELL_FORMED),
    "cut short": (PLAIN[:-1], NOT_WELL_FORMED),
    "text after the end": (PLAIN + "x", NOT_WELL_FORMED),
    "two documents": (PLAIN + PLAIN, NOT_WELL_FORMED),
    "a blank before the declaration": (" " + ZOE.format("utf-8"), NOT_WELL_FORMED),
    "tags that cross": (call("<value><int>1</value></int>"), NOT_WELL_FORMED),
    "an attribute twice": (call("<value a='' a=''/>"), NOT_WELL_FORMED),
    "an attribute without quotes": (call("<value a=b/>"), NOT_WELL_FORMED),
    "a bare &": (call("<value>&</value>"), NOT_WELL_FORMED),
    "no UTF-8": (PLAIN.replace("1", "ë").encode("latin-1"), NOT_WELL_FORMED),
    "a lone surrogate": (
        PLAIN.replace("1", "\ud800").encode("utf-8", "surrogatepass"),
        NOT_WELL_FORMED,
    ),
    "UTF-8 that is said to be ASCII": (ZOE.format("us-ascii"), NOT_WELL_FORMED),
    "UTF-8 that is said to be UTF-16": (ZOE.format("utf-16"), NOT_WELL_FORMED),
    **{
        f"the encoding {name}": (
            call("<value>1</value>", DECLARED.format(name)),
            UNSUPPORTED_ENCODING,
        )
        for name in (
            "none-such",
            "utf8",
            "utf-7",
            "utf-32",
            "shift_jis",
            "iso-8859-12",
            "cp037",
            "rot13",
            "idna",
            "unicode_escape",
            "base64",
            "undefined",
        )
    },
    "a document type": (call("<value/>", "<!DOCTYPE methodCall>"), NOT_XML_RPC),
    "an entity": (call("<value>&a;</value>", "<!DOCTYPE x [<!ENTITY a 'b'>]>"), NOT_XML_RPC),
    "an entity from a file": (
        call("<value>&a;</value>", "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///x'>]>"),
        NOT_XML_RPC,
    ),
    "another document": ("<html/>", NOT_XML_RPC),
    "capitals": (PLAIN.replace("methodCall", "MethodCall"), NOT_XML_RPC),
    "a response": (PLAIN.replace("methodCall", "methodResponse"), NOT_XML_RPC),
    "an empty call": ("<methodCall/>", NOT_XML_RPC),
    "no method": ("<methodCall><params/></methodCall>", NOT_XML_RPC),
    "two methods": (PLAIN.replace("<params>", "<methodName>get</methodName><params>"), NOT_XML_RPC),
    "the method after params": (
        "<methodCall><params/><methodName>set</methodName></methodCall>",
        NOT_XML_RPC,
    ),
    "params twice": (PLAIN.replace("<params>", "<params/><params>"), NOT_XML_RPC),
    "an empty param": (call("<value/>").replace("<value/>", ""), NOT_XML_RPC),
    "two values in a param": (call("<value/><value/>"), NOT_XML_RPC),
    "a type without a value": (call("<int>1</int>"), NOT_XML_RPC),
    "two types in a value": (call("<value><int>1</int><int>2</int></value>"), NOT_XML_RPC),
    "a value in a value": (call("<value><value/></value>"), NOT_XML_RPC),
    "an element in a method": (PLAIN.replace(">set<", "><b/>set<"), NOT_XML_RPC),
    "an unknown type": (call("<value><date/></value>"), NOT_XML_RPC),
    "text before a type": (call("<value>a<int>1</int></value>"), NOT_XML_RPC),
    "text after a type": (call("<value><int>1</int>a</value>"), NOT_XML_RPC),
    "a blank of no XML after a type": (call("<value><int>1</int>\xa0</value>"), NOT_XML_RPC),
    "text in params": (PLAIN.replace("<params>", "<params>a"), NOT_XML_RPC),
    "text in an array": (call("<value><array>a<data/></array></value>"), NOT_XML_RPC),
    "an array without data": (call("<value><array/></value>"), NOT_XML_RPC),
    "an array with data twice": (call("<value><array><data/><data/></array></value>"), NOT_XML_RPC),
    "an array of types": (
        call("<value><array><data><int>1</int></data></array></value>"),
        NOT_XML_RPC,
    ),
    "an empty member": (struct("<member/>"), NOT_XML_RPC),
    "a member without a value": (struct("<member><name>a</name></member>"), NOT_XML_RPC),
    "a member with the value first": (
        struct("<member><value/><name>a</name></member>"),
        NOT_XML_RPC,
    ),
    "a member with two names": (struct("<member><name/><name/><value/></member>"), NOT_XML_RPC),
    "a member with two values": (struct("<member><name/><value/><value/></member>"), NOT_XML_RPC),
    "a value in a struct": (struct("<value/>"), NOT_XML_RPC),
    "a member twice": (struct(member("a"), member("a")), BAD_ARGUMENT),
    "65 arrays in one another": (call(START * 65 + END * 65), BAD_ARGUMENT),
    "no such method": (PLAIN.replace(">set<", ">put<"), NO_SUCH_METHOD),
    "a method in capitals": (PLAIN.replace(">set<", ">Set<"), NO_SUCH_METHOD),
    "an argument too few": (PLAIN.replace("<param><value>1</value></param>", ""), BAD_ARGUMENT),
    "an argument too many": (
        PLAIN.replace("<params>", "<params><param><value/></param>"),
        BAD_ARGUMENT,
    ),
    "a name that is a number": (
        PLAIN.replace("<value>x</value>", "<value><int>1</int></value>"),
        BAD_ARGUMENT,
    ),
}


def encoded(body: str | bytes) -> bytes:
    """Return a document as it is sent."""
    return body.encode() if isinstance(body, str) else body


DOCUMENTS: dict[str, Document] = {
    **{
        f"{kind} of {text!r:.40}": Document(encoded(typed(kind, text)), value)
        for kind, text, value in VALUES
    },
    **{
        f"{kind} of {text!r:.40}": Document(encoded(typed(kind, text)), code=code)
        for kind, text, code in FAULTS
    },
    **{name: Document(encoded(body), value) for name, (body, value) in VALID.items()},
    **{name: Document(encoded(body), code=code) for name, (body, code) in INVALID.items()},
}
