"""What the values that are made of arguments may cost in one message.

An argument may come from the memo, so a few bytes can ask for the same 16 MiB to be copied again.
So the arguments of one message, each counted as often as it is used, have a limit together. What
Python writes is within it: a text or bytes are as long on the wire, and at most two values are made
of them (at protocol 2 a bytearray is made of bytes, which are made of a text); and each member of a
set takes a byte or more.

A large integer and a Decimal do not go together: to compare or add the two, Python converts the
integer, and the time for that grows with the square of its length.
"""

import struct
from decimal import Decimal
from typing import Any
from uuid import UUID

from services.safe_pickle.errors import UnpicklingError
from services.safe_pickle.plain_types import PlainType, complete_uuid

MAX_INTEGER = 255  # bytes of an integer in a message that has Decimals
MAX_MEMBERS = 1_000_000  # of sets; as many as there can be opcodes


class CallBudget:
    """The budget of one message of `message_size` bytes."""

    def __init__(self, message_size: int) -> None:
        self._message_size = message_size
        self._bytes_left = 2 * message_size
        self._members_left = min(message_size, MAX_MEMBERS)
        self._incomplete = 0  # UUIDs that have no number yet
        self._has_decimal = self._has_large_integer = False

    def make(self, plain_type: PlainType, args: tuple[Any, ...]) -> tuple[Any, int]:
        """Return the value that is made of `args`, and how many bytes are copied for it.

        Raises UnpicklingError for arguments that Python does not write.
        """
        size = 0
        if args and type(args[0]) in (str, bytes):
            size = len(args[0])
            self._bytes_left -= size
        elif args and type(args[0]) is list:
            self._members_left -= len(args[0])
        if self._bytes_left < 0 or self._members_left < 0:
            raise UnpicklingError(
                "the pickle uses the same arguments again and again: its values would have many"
                f" times the {self._message_size} bytes that it has itself"
            )
        try:
            value = plain_type.make(*args)
        except UnpicklingError:
            raise
        except (ArithmeticError, struct.error, TypeError, ValueError) as error:
            raise UnpicklingError(f"malformed {plain_type.name}: {error}") from None
        if plain_type.kind is Decimal:
            self._has_decimal = True
            self._check_numbers()
        elif plain_type.kind is UUID:
            self._incomplete += 1
        return value, size

    def complete(self, value: Any, state: Any) -> None:
        """Give a value its attributes; raises UnpicklingError unless it is a UUID without any."""
        if type(value) is not UUID:
            raise UnpicklingError(f"a {type(value).__name__} with attributes is not plain data")
        try:
            complete_uuid(value, state)
        except (TypeError, ValueError) as error:
            raise UnpicklingError(f"malformed uuid.UUID: {error}") from None
        self._incomplete -= 1

    def large_integer(self) -> None:
        """Note an integer of more than MAX_INTEGER bytes."""
        self._has_large_integer = True
        self._check_numbers()

    def check_complete(self) -> None:
        """Raise UnpicklingError if there is a UUID without its number."""
        if self._incomplete:
            raise UnpicklingError("malformed uuid.UUID: its number is missing")

    def _check_numbers(self) -> None:
        if self._has_decimal and self._has_large_integer:
            raise UnpicklingError(
                f"the pickle has a Decimal and an integer of more than {MAX_INTEGER} bytes"
            )
