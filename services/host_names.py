"""The names that a server has in the header Host, against DNS rebinding.

Whoever owns a domain can have its name resolve to 127.0.0.1. For a browser, a page from there and
the server here are one site then, and only the header Host shows which name it was.
"""

import re
from functools import lru_cache
from ipaddress import ip_address

PORT = re.compile(r":\d*$", re.ASCII)


def parse(text: str) -> frozenset[str]:
    """Parse names of hosts with commas between them."""
    names = frozenset(name.strip().lower() for name in text.split(",")) - {""}
    if not all(re.fullmatch(r"[-.\w]+", name) for name in names):
        raise ValueError("names of hosts, without ports, and with commas between them")
    return names


@lru_cache(maxsize=64)
def is_ours(host: str, hosts: frozenset[str]) -> bool:
    """Whether a Host is an address, localhost or one of `hosts`.

    Nobody can have the names below localhost resolve to anything else (RFC 6761, 6.3).
    """
    name = PORT.sub("", host).removesuffix(".").lower()
    if name in hosts or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
