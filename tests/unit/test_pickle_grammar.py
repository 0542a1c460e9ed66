"""Each pickle of the grammar is the value that it says, or refused with the error that it says."""

import pickle
import re

import pytest

from services.safe_pickle import UnpicklingError, loads
from services.safe_pickle.decoder import Decoder
from tests.support.pickle_grammar import INVALID, VALID, Invalid, Valid


def by_single_steps(data: bytes) -> object:
    """Decode one opcode at a time."""
    decoder = Decoder(data)
    while not decoder.step(1):
        pass
    return decoder.result


@pytest.mark.parametrize("pickled", VALID, ids=[each.name for each in VALID])
def test_a_valid_pickle_is_its_value(pickled: Valid) -> None:
    """And that is what Python makes of it too."""
    for decode in (loads, by_single_steps, pickle.loads):
        value = decode(pickled.data)
        assert type(value) is type(pickled.value)
        assert (value, repr(value)) == (pickled.value, repr(pickled.value))


@pytest.mark.parametrize("pickled", INVALID, ids=[each.name for each in INVALID])
def test_an_invalid_pickle_is_refused(pickled: Invalid) -> None:
    """Decoded at once, or opcode by opcode."""
    for decode in (loads, by_single_steps):
        with pytest.raises(UnpicklingError, match=re.escape(pickled.error)):
            decode(pickled.data)


def test_no_pickle_is_there_twice() -> None:
    """Each name, and each sequence of bytes, is one case."""
    cases = [*VALID, *INVALID]
    for field in ("name", "data"):
        assert len({getattr(each, field) for each in cases}) == len(cases)
