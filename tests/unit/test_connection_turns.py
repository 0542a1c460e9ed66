"""Whose large message is answered now, and whose waits."""

from services.connection.turns import BESIDE, Turns


def turns(*sizes: int) -> Turns:
    """Return turns for which connections wait that have messages of these sizes: 0, 1, 2..."""
    made = Turns()
    for who, size in enumerate(sizes):
        made.wait(who, size)
    return made


def test_one_large_message_is_answered_at_a_time() -> None:
    """The others wait, in their order."""
    found = turns(*[2 * BESIDE] * 3)
    assert (found.begin(), found.begin()) == ([0], [])
    found.end(0)
    assert (found.begin(), found.begin()) == ([1], [])


def test_smaller_ones_are_answered_beside_it() -> None:
    """Those that have so many bytes together; whether they came before or after it."""
    half = BESIDE // 2
    assert turns(100 * BESIDE, half, half, 1).begin() == [0, 1, 2]
    assert turns(half, half, 100 * BESIDE, 1).begin() == [0, 1, 2]


def test_who_sends_little_overtakes_who_sends_much() -> None:
    """But not the other way around: what is large waits for nothing but for what is larger."""
    found = turns(10 * BESIDE, 9 * BESIDE, BESIDE, BESIDE)
    assert found.begin() == [0, 2]
    found.end(0)
    assert found.begin() == [1]
    found.end(2)
    assert found.begin() == [3]


def test_who_leaves_waits_no_more() -> None:
    """Whether it was waiting, or it was its turn."""
    found = turns(*[2 * BESIDE] * 4)
    assert found.begin() == [0]
    for gone in (1, 0):
        found.end(gone)
    assert found.begin() == [2]
    assert list(found.begun) == [2]


def test_who_waits_again_has_no_turn() -> None:
    """It has sent another message, and others come first."""
    found = turns(*[2 * BESIDE] * 2)
    assert found.begin() == [0]
    found.wait(0, 3 * BESIDE)
    assert found.begin() == [1]
