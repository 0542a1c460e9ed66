"""docs/security.md: every control of the benchmark's two sections, and tests that are there."""

import pytest

from lab import ROOT
from tests.stack.cis import ATTEMPTS, CONTROLS, SECTIONS, Attempt, Control, document


def test_every_control_is_listed_once() -> None:
    """In the order of the benchmark."""
    numbers = [f"{section}.{n + 1}" for section, (many, _) in SECTIONS.items() for n in range(many)]
    assert [control.number for control in CONTROLS] == numbers


@pytest.mark.parametrize("control", CONTROLS, ids=[control.number for control in CONTROLS])
def test_a_control_is_held_or_says_why_not(control: Control) -> None:
    """The test that it names is there; without one, the page says that it is not asserted."""
    sources = [*ROOT.glob("tests/stack/test_*.py"), *ROOT.glob("tests/unit/test_*.py")]
    if control.test:
        assert any(f"\ndef {control.test}(" in source.read_text() for source in sources)
    else:
        assert control.here.startswith(("not asserted", "not applicable", "not so, on purpose"))


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[str(each.status) for each in ATTEMPTS])
def test_what_a_web_page_may_try_is_tested(attempt: Attempt) -> None:
    """The test that the page names is there."""
    sources = [*ROOT.glob("tests/contract/test_*.py"), *ROOT.glob("tests/unit/test_*.py")]
    assert any(f"\ndef {attempt.test}(" in source.read_text() for source in sources)


def test_page_is_what_the_controls_say() -> None:
    """`python -m tests.stack.cis > docs/security.md` wrote it."""
    assert (ROOT / "docs/security.md").read_text() == document()
