"""multipart/form-data: a form with files in it, as the body of a request (RFC 7578)."""

import secrets
from collections.abc import Iterable


def multipart(
    fields: Iterable[tuple[str, str]], files: Iterable[tuple[str, str, bytes]]
) -> tuple[str, bytes]:
    """Return the Content-Type and the body of a form.

    A field is a name and a value; a file is the name of its field, its own name and its content.
    The parts stand between lines with the boundary, which must occur in none of them (RFC 2046,
    5.1.1). 128 random bits do not; and as nobody can guess them, no file can be made that ends
    its own part and begins another.
    """
    boundary = secrets.token_hex(16)
    body = b""
    for name, value in fields:
        body += (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{quoted(name)}"\r\n'
            f"\r\n"
            f"{value}\r\n"
        ).encode()
    for name, filename, content in files:
        body += (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{quoted(name)}"; filename="{quoted(filename)}"'
            f"\r\n"
            f"Content-Type: application/octet-stream\r\n"
            f"\r\n"
        ).encode()
        body += content + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def quoted(name: str) -> str:
    """Escape what would end a quoted name or its line, as browsers do (WHATWG HTML, 4.10.21.8)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
