"""Plain data to bytes: Python's own pickler, stopped before it writes a call."""

import pickle
import threading
from collections import OrderedDict
from typing import Any

from services.safe_pickle.plain_types import NAMED

SMALL = 4096  # bytes


class PlainPickler(pickle.Pickler):
    """A pickler of plain data only."""

    named: type | None = None  # the class that the pickler has to write next, as a name

    def reducer_override(self, value: object) -> Any:
        """Return NotImplemented for a value that is written as a name and arguments: do that.

        Raises ValueError for what is not plain data. The pickler asks here for whatever it has no
        opcodes for, also for the class of such a value, where it is the first one of a message. It
        does not for bytearrays, so their class is not refused.
        """
        kind = type(value)
        if kind in NAMED and not (kind is OrderedDict and vars(value)):
            self.named = kind
            return NotImplemented
        if value is bytearray or value is self.named:
            self.named = None
            return NotImplemented
        what = f"the class {value.__name__}" if isinstance(value, type) else f"a {kind.__name__}"
        raise ValueError(f"{what}{' with attributes' if kind in NAMED else ''} is not plain data")


class Encoder(threading.local):
    """A pickler for each thread, used again: a new one costs more than a small message."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Replace the pickler."""
        self.parts: list[bytes] = []
        self.write = self.parts.append  # the pickler takes this object for a file
        self.pickler = PlainPickler(self, protocol=4)


encoder = Encoder()


def dumps(value: object) -> bytes:
    """Return plain data as a pickle of protocol 4, which every Python since 3.4 reads.

    Raises ValueError for a value that `loads` does not accept on the other side.
    """
    parts, pickler = encoder.parts, encoder.pickler
    data = b""
    try:
        pickler.dump(value)
        data = b"".join(parts)
        return data
    finally:
        if 0 < len(data) < SMALL:
            parts.clear()
            pickler.clear_memo()
            if pickler.named:
                pickler.named = None
        else:
            encoder.renew()  # clearing a memo takes time in proportion to its largest size so far
