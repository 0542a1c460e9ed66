"""What a server says of itself: its methods, what they take and return, and what else it supports.

Sources: Eric Kidd, "XML-RPC Introspection", and "RFC: system.multicall", 2001-01-07; Dan Libby,
"Specification for Fault Code Interoperability", 2001-05-16, of system.getCapabilities.
"""

import inspect
from collections.abc import Callable, Mapping
from itertools import product

from services.kv import xml_rpc
from services.kv.faults import Fault, Kind

ANY = "any"
TYPES = ("int", "boolean", "string", "double", "dateTime.iso8601", "base64", "struct", "array")
# What each method returns, and then what it takes.
SIGNATURES = {
    "get": (ANY, "string"),
    "set": ("nil", "string", ANY),
    "delete": ("nil", "string"),
    "exists": ("boolean", "string"),
    "keys": ("array",),
    "compare_and_set": ("boolean", "string", ANY, ANY),
    "system.listMethods": ("array",),
    "system.methodHelp": ("string", "string"),
    "system.methodSignature": ("array", "string"),
    "system.getCapabilities": ("struct",),
    "system.multicall": ("array", "array"),
}
# The types that these stand for, in the dialect with nil and in the one without it.
STANDS_FOR: dict[bool, dict[str, tuple[str, ...]]] = {
    True: {ANY: (*TYPES, "nil")},
    False: {ANY: TYPES, "nil": ("boolean",)},
}
CAPABILITIES = {
    "xmlrpc": ("http://www.xmlrpc.com/spec", 1),
    "introspection": ("http://xmlrpc-c.sourceforge.net/introspection.html", 1),
    "system.multicall": ("http://www.xmlrpc.com/discuss/msgReader$1208", 1),
    "faults_interop": ("http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php", 20010516),
    "nil": ("http://www.ontosys.com/xml-rpc/extensions.php", 1),
}
MULTICALL = """\
Make calls, and return an array of what each returns, in an array; or of its fault, a struct.

A call is a struct of methodName and params. They are made in their order, and each sees what those
before it have written.
"""


class Introspection:
    """The methods that tell about all methods of a dialect, the one with nil or the other."""

    def __init__(self, methods: Mapping[str, Callable[..., str]], nil: bool) -> None:
        self.methods: dict[str, Callable[..., str]] = {
            "system.listMethods": self.list_methods,
            "system.methodHelp": self.method_help,
            "system.methodSignature": self.method_signature,
            "system.getCapabilities": self.get_capabilities,
        }
        documented = {**methods, **self.methods}.items()
        self._help = {name: inspect.getdoc(method) or "" for name, method in documented}
        self._help["system.multicall"] = MULTICALL
        self._nil = nil

    def list_methods(self) -> str:
        """Return the names of all methods."""
        return xml_rpc.marshal(list(SIGNATURES))

    def method_help(self, name: str) -> str:
        """Return what a method does."""
        if name not in self._help:
            raise Fault(Kind.NO_SUCH_METHOD, repr(name))
        return xml_rpc.marshal(self._help[name])

    def method_signature(self, name: str) -> str:
        """Return an array of signatures of a method: what it returns, and then what it takes."""
        if name not in SIGNATURES:
            raise Fault(Kind.NO_SUCH_METHOD, repr(name))
        choices = [STANDS_FOR[self._nil].get(kind, (kind,)) for kind in SIGNATURES[name]]
        return xml_rpc.marshal([list(signature) for signature in product(*choices)])

    def get_capabilities(self) -> str:
        """Return the specifications that this server keeps; nil is among them if it returns nil."""
        found = {
            name: {"specUrl": url, "specVersion": version}
            for name, (url, version) in CAPABILITIES.items()
            if name != "nil" or self._nil
        }
        return xml_rpc.marshal(found)
