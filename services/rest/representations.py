"""One value, as JSON, XML, CSV or HTML."""

import csv
import html
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence

from services.rest.accept import VARY

HTML = "text/html"
XML = "application/xml"
JSON = "application/json"
CSV = "text/csv"

Record = Mapping[str, str | int]
Value = Record | Sequence[Record]

# JSON is always UTF-8 and has no such parameter (RFC 8259, 8.1 and 11).
_CONTENT_TYPE = {JSON: ("Content-Type", JSON)} | {
    media_type: ("Content-Type", f"{media_type}; charset=utf-8") for media_type in (HTML, XML, CSV)
}
# The characters that XML 1.0 does not allow, not even as a reference (XML 1.0, 2.2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(media_type: str, name: str, value: Value) -> bytes:
    """Return `value`, whose name is `name`, as a document of `media_type` in UTF-8."""
    match media_type:
        case "application/json":
            text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
        case "application/xml":
            text = "\n".join(['<?xml version="1.0"?>', *elements(name, value)])
        case "text/csv":
            text = as_csv(records(value))
        case "text/html":
            text = as_html(name, records(value))
        case _:
            raise ValueError(f"no representation as {media_type!r}")
    return text.encode("utf-8")


def headers(media_type: str, body: bytes) -> list[tuple[str, str]]:
    """Return the headers of a response with `body`, whose media type was negotiated."""
    return [_CONTENT_TYPE[media_type], ("Content-Length", str(len(body))), VARY]


def records(value: Value) -> Sequence[Record]:
    """Return `value` as the rows of a table."""
    return [value] if isinstance(value, Mapping) else value


def elements(name: str, value: Value | str | int, indent: str = "") -> Iterator[str]:
    """Yield the lines of the XML element `name`; each member of a list is an `item`."""
    if isinstance(value, str | int):
        text = html.escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value)))
        # A bare carriage return would be read back as a line feed (XML 1.0, 2.11).
        yield f"{indent}<{name}>{text.replace(chr(13), '&#13;')}</{name}>"
        return
    members = value.items() if isinstance(value, Mapping) else [("item", item) for item in value]
    yield f"{indent}<{name}>"
    for member, content in members:
        yield from elements(member, content, indent + "  ")
    yield f"{indent}</{name}>"


def as_csv(rows: Sequence[Record]) -> str:
    """Return a header line and a line for each row (RFC 4180)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_html(title: str, rows: Sequence[Record]) -> str:
    """Return a page with a table."""

    def row(cells: Sequence[object], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)

    lines = [row(list(rows[0]), "th"), *(row(list(each.values()), "td") for each in rows)]
    table = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f"<!DOCTYPE html>\n<html>\n<head><title>{html.escape(title)}</title></head>\n"
        f"<body>\n<table>\n{table}\n</table>\n</body>\n</html>\n"
    )
