"""The judge of system calls is itself judged, on traces written for it."""

import pytest

from tests.hostile.system_calls import system_calls, verdict

ASKED = r'recvfrom(9<socket:[1]>, "POST / ... <string>value-1</string>", 65536, 0, NULL, NULL) = 99'
WRITTEN = r'pwrite64(7</data/kv-wal>, "\r\0value-0\0value-1\0", 4096, 56) = 4096'
CUT_SHORT = r'pwrite64(7</data/kv-wal>, "value-1", 4096, 56) = -1 ENOSPC (No space left on device)'
SYNCED = "fdatasync(7</data/kv-wal>) = 0"
ELSEWHERE = "fdatasync(8</data/kv>)         = 0"
IN_VAIN = "fdatasync(7</data/kv-wal>) = -1 EIO (Input/output error)"
ANSWERED = r'sendto(9<socket:[1]>, "HTTP/1.1 200 OK\r\n ... <nil/>", 99, 0, NULL, 0) = 99'
REFUSED = r'sendto(9<socket:[1]>, "HTTP/1.1 200 OK\r\n ... <fault>", 99, 0, NULL, 0) = 99'


def judged(*lines: str) -> tuple[int, int]:
    """Return how many values were acknowledged, and how many of these too early."""
    found = verdict("\n".join(lines), r"value-\d", "<nil/>")
    return len(found.acknowledged), len(found.too_early)


def test_an_answer_after_its_data_was_synced_is_in_time() -> None:
    """Whatever else happens in between."""
    assert judged(ASKED, WRITTEN, ELSEWHERE, SYNCED, ELSEWHERE, ANSWERED) == (1, 0)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([WRITTEN], id="not synced"),
        pytest.param([SYNCED], id="not written"),
        pytest.param([SYNCED, WRITTEN], id="synced before it was written"),
        pytest.param([WRITTEN, ELSEWHERE], id="another file synced"),
        pytest.param([WRITTEN, IN_VAIN], id="synced in vain"),
        pytest.param([CUT_SHORT, SYNCED], id="written in vain"),
    ],
)
def test_an_answer_before_that_is_too_early(lines: list[str]) -> None:
    """It is found, and what comes after the answer does not help."""
    assert judged(ASKED, *lines, ANSWERED, WRITTEN, SYNCED) == (1, 1)


def test_a_refusal_acknowledges_nothing() -> None:
    """Nor does an answer to somebody who did not ask for a value to be kept."""
    assert judged(ASKED, REFUSED) == (0, 0)
    assert judged(ASKED, ANSWERED.replace("9<", "10<")) == (0, 0)


def test_several_threads_are_not_judged() -> None:
    """Their calls overlap, and the order of the lines says nothing."""
    with pytest.raises(ValueError, match="threads"):
        list(system_calls("[pid 7] fdatasync(7</data/kv-wal> <unfinished ...>"))
