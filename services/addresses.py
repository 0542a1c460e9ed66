"""How the address of a server is written: host:port, and [host]:port if the host is IPv6.

Without the brackets the last colon of an IPv6 address could not be told from the one before the
port (RFC 3986, 3.2.2; RFC 5952, 6).
"""

from ipaddress import ip_address


def bracketed(host: str) -> str:
    """Return a host as URLs and CGI's SERVER_NAME have it (RFC 3875, 4.1.14)."""
    return f"[{host}]" if ":" in host else host


def numeric(host: str) -> str:
    """Return an IP address as in URLs, or nothing; ValueError that completes "Not ..."."""
    try:
        return bracketed(str(ip_address(host))) if host else ""
    except ValueError:
        raise ValueError("an IP address") from None


def unmapped(host: str) -> str:
    """Return the IPv4 address of an IPv4 client that an IPv6 socket serves; others unchanged.

    A socket on `::` serves both families, and has such clients as ::ffff:192.0.2.1 (ipv6(7)).
    """
    mapped = host.removeprefix("::ffff:")
    return mapped if "." in mapped else host


def join(host: str, port: int) -> str:
    """Return an address as text."""
    return f"{bracketed(unmapped(host))}:{port}"


def split(text: str) -> tuple[str, int]:
    """Parse what `join` writes; raises ValueError with a text that completes "Not ..."."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]") and ":" in host:
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("a host:port: an IPv6 address has to stand in brackets")
    if (
        not host
        or "[" in host
        or not (port.isascii() and port.isdigit())
        or not 0 < int(port) <= 65535
    ):
        raise ValueError("a host:port")
    return host, int(port)
