"""Plain data to bytes: Python's own pickler, stopped before it writes a call."""

import pickle
import threading
from typing import NoReturn

SMALL = 4096  # bytes


class PlainPickler(pickle.Pickler):
    """A pickler of plain data only."""

    def reducer_override(self, value: object) -> NoReturn:
        """Raise ValueError for `value`: the pickler has no opcodes for it other than a call."""
        kind = value if isinstance(value, type) else type(value)
        raise ValueError(f"a {kind.__name__} is not plain data")


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
        else:
            encoder.renew()  # clearing a memo takes time in proportion to its largest size so far
