"""What can go wrong, as fixed fault codes: never a class name, never a traceback.

Below -32000: Dan Libby, "Specification for Fault Code Interoperability", 2001-05-16.
"""

import xmlrpc.client
from enum import IntEnum


class Kind(IntEnum):
    """The fault codes of this service."""

    NO_SUCH_KEY = 1
    STORAGE_FAILED = 2
    NIL = 3
    TOO_LARGE = 4
    UNAVAILABLE = 5
    UNKNOWN = 6
    NOT_WELL_FORMED = -32700
    UNSUPPORTED_ENCODING = -32701
    NOT_XML_RPC = -32600
    NO_SUCH_METHOD = -32601
    BAD_ARGUMENT = -32602
    INTERNAL_ERROR = -32603


TEXT = {
    Kind.NO_SUCH_KEY: "no such key",
    Kind.STORAGE_FAILED: "nothing was written",
    Kind.NIL: "the result has a nil, which the dialect of 1999 does not have",
    Kind.TOO_LARGE: "too large for one response",
    Kind.UNAVAILABLE: "etcd is not available, and nothing was written",
    Kind.UNKNOWN: "nobody knows whether this was written",
    Kind.NOT_WELL_FORMED: "not well-formed XML",
    Kind.UNSUPPORTED_ENCODING: "unsupported encoding",
    Kind.NOT_XML_RPC: "not a call in XML-RPC",
    Kind.NO_SUCH_METHOD: "no such method",
    Kind.BAD_ARGUMENT: "bad argument",
    Kind.INTERNAL_ERROR: "internal error",
}


class Fault(xmlrpc.client.Fault):
    """A fault of one of the kinds, with what in particular is wrong."""

    def __init__(self, kind: Kind, detail: str = "") -> None:
        super().__init__(int(kind), f"{TEXT[kind]}: {detail:.200}" if detail else TEXT[kind])
        self.detail = detail
