"""Whose large message is answered now, and whose waits for its turn.

A large message is answered in steps, between which other connections are served. What it is decoded
into can take many times its memory (`services.safe_pickle` says how much), and is there from the
first step to the last. So not all of them are answered at the same time, but one, however large,
and those beside it that have BESIDE bytes together: who sends little does not wait for who sends
much.
"""

BESIDE = 256 * 1024  # bytes of messages


class Turns:
    """The turns of a server: bytes of the message of each connection, by its descriptor."""

    def __init__(self) -> None:
        self.begun: dict[int, int] = {}
        self._waiting: dict[int, int] = {}  # in their order

    def wait(self, who: int, size: int) -> None:
        """Have a connection wait that has a message of `size` bytes; an earlier turn ends."""
        self.begun.pop(who, None)
        self._waiting[who] = size

    def end(self, who: int) -> None:
        """Forget a connection, whether it waits or it is its turn."""
        self.begun.pop(who, None)
        self._waiting.pop(who, None)

    def begin(self) -> list[int]:
        """Return the connections whose turn begins now."""
        return [who for who in list(self._waiting) if self._begins(who)]

    def _begins(self, who: int) -> bool:
        sizes = self._waiting[who], *self.begun.values()
        if sum(sizes) - max(sizes) > BESIDE:
            return False
        self.begun[who] = self._waiting.pop(who)
        return True
