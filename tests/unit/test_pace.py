"""How long tests wait, and what they allow for on a machine that is slow."""

from itertools import count

import pytest

from tests.support import pace


def test_until_returns_what_the_condition_returns() -> None:
    """As soon as that is true."""
    numbers = count()
    assert pace.until(lambda: next(numbers) > 2 and "done", "three times") == "done"


def test_until_fails_with_what_was_waited_for() -> None:
    """And for how long."""
    with pytest.raises(AssertionError, match="waited 0 s in vain: a miracle"):
        pace.until(lambda: False, "a miracle", seconds=0.05)


@pytest.mark.parametrize(
    ("reference", "allowed"),
    [pytest.param(1e9, False, id="fast"), pytest.param(1e-4, True, id="slow")],
)
def test_a_promised_time_is_judged_at_the_pace_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, reference: float, allowed: bool
) -> None:
    """On a machine that is slower than the reference it may be longer; never on a faster one."""
    monkeypatch.setattr(pace, "REFERENCE", reference)
    assert pace.within(1.9, promised=2)
    assert pace.within(2.1, promised=2) is allowed
