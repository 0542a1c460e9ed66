"""Wireshark and our plugin read mutated captures: none crashes them, or takes memory without end.

`--soak=1` has 100,000 conversations mutated, and otherwise there is a batch of them.
tests/hostile has ours read such files.
"""

from random import Random

import pytest

from services.wire import pcapng
from tests.interop.tshark import Tshark
from tests.support.captures import conversations, headers_changed

BATCH = 2_000  # conversations in a file
CONVERSATIONS = 100_000


@pytest.mark.soak
def test_mutated_captures_are_read_to_their_end(
    tshark: Tshark, request: pytest.FixtureRequest
) -> None:
    """Whatever is in the messages, or in the headers of one packet of ten.

    The container has a limit of memory (tshark.py), and the plugin raises no error.
    """
    seed = request.config.getoption("--seed") or Random().randrange(2**32)  # noqa: S311
    random = Random(seed)  # noqa: S311 - nothing secret
    for _ in range(CONVERSATIONS // BATCH if request.config.getoption("--soak") else 1):
        file = pcapng.encode(conversations(random, BATCH))
        packets = sum(kind == pcapng.PACKET for kind, _ in pcapng._blocks(file))
        for each in (file, headers_changed(random, file, share=0.1)):
            # All of what is decoded, of the packets that the plugin has seen.
            printed = tshark.run(each, "-Y", "mpconn", "-O", "mpconn,pickle")
            assert "Lua" not in printed, f"--seed {seed}"
            assert printed.count("multiprocessing.connection") > BATCH
            numbers = tshark.fields(each, "frame", "frame.number")
            assert numbers[-1] == [[str(packets)]], f"--seed {seed}"
