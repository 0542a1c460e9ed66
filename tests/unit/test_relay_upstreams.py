"""Where a relay may lead to, as `WIRELAB_RELAY_UPSTREAMS` says it."""

import pytest

from services.relay.upstreams import Default, parse


def test_a_default_may_name_its_protocol() -> None:
    """Otherwise it is that of the service of its name; a host alone is no proxy."""
    found = parse("a=one:1 b=[::1]:2/udp c=One:3/tcp two")
    assert found.defaults == {
        "a": Default("one:1"),
        "b": Default("[::1]:2", "udp"),
        "c": Default("One:3", "tcp"),
    }
    assert found.hosts == {"one", "::1", "two"}


@pytest.mark.parametrize("word", ["=one:1", "a=one:1/sctp", "a=one:1/", "a=one/udp", "a=one"])
def test_what_is_no_default_is_an_error(word: str) -> None:
    """And so is a name that comes twice."""
    with pytest.raises(ValueError, match="host:port"):
        parse(word)
    with pytest.raises(ValueError, match="each name once: 'a=two:2'"):
        parse("a=one:1 a=two:2")
