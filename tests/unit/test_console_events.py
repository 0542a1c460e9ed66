"""Updates of pages: what is sent to whom, how often it is rendered, and what waits."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from services.console.events import MAX_STREAMS, Broadcast, Element, Stream, TooManyStreams, event
from services.console.view import View

ENGLISH, CHINESE = View("en"), View("zh")


class Parts:
    """Elements with texts that a test changes; it counts how often each is rendered."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.rendered: list[tuple[str, str]] = []
        self.versions: dict[str, object] = {}
        self.inside: set[str] = set()
        self.changes = 0
        self.broadcast = Broadcast("boot", self.elements, self.changed)

    def elements(self, view: View) -> Iterator[Element]:
        """Yield them."""
        for name in self.texts:
            render = self.renderer(name, view)
            yield Element(name, render, self.versions.get(name), name in self.inside)

    def renderer(self, name: str, view: View) -> Callable[[], str]:
        """Return what renders one."""

        def render() -> str:
            self.rendered.append((name, view.language))
            return f"{name}={self.texts[name]} {view.language}"

        return render

    def changed(self) -> None:
        """Count."""
        self.changes += 1

    def publish(self, **texts: str) -> None:
        """Change some texts, and publish all."""
        self.texts |= texts
        self.rendered.clear()
        self.broadcast.publish(self.elements)


def pending(stream: Stream) -> list[str]:
    """Return the texts of the events that a stream has to send, which are sent by this."""

    async def take() -> list[str]:
        found = []
        reading = stream.read()
        while stream._pending:
            found.append((await anext(reading)).decode())
        await reading.aclose()
        return found

    return [text.partition("data: ")[2].strip() for text in asyncio.run(take())]


def test_an_event_is_written_as_the_standard_says() -> None:
    """Each line of a text in a field of its own, whatever ends it."""
    assert event("element", "a\nb\rc\r\nd") == (
        b"event: element\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
    )
    assert event("begin", "x", retry=5) == b"retry: 5\nevent: begin\ndata: x\n\n"


def test_a_stream_begins_with_all_that_is_not_inside_another() -> None:
    """After the event that says which process it is."""
    parts = Parts(a="1", b="2")
    parts.inside = {"b"}
    assert pending(parts.broadcast.open(ENGLISH)) == ["boot", "a=1 en"]


def test_what_has_changed_is_sent_to_all_that_show_it() -> None:
    """Rendered once for a view, and nothing else."""
    parts = Parts(a="1", b="2")
    streams = [parts.broadcast.open(view) for view in (ENGLISH, ENGLISH, CHINESE)]
    for stream in streams:
        pending(stream)
    parts.publish(b="3")
    assert [pending(stream) for stream in streams] == [["b=3 en"], ["b=3 en"], ["b=3 zh"]]
    assert sorted(parts.rendered) == [("a", "en"), ("a", "zh"), ("b", "en"), ("b", "zh")]
    parts.publish()
    assert [pending(stream) for stream in streams] == [[], [], []]


def test_what_has_a_version_is_rendered_when_that_changes() -> None:
    """And not to find out whether it has."""
    parts = Parts(a="1")
    parts.versions = {"a": 1}
    stream = parts.broadcast.open(ENGLISH)
    pending(stream)
    parts.publish(a="2")
    assert (pending(stream), parts.rendered) == ([], [])
    parts.versions = {"a": 2}
    parts.publish()
    assert pending(stream) == ["a=2 en"]


def test_a_newcomer_takes_nothing_from_the_others() -> None:
    """What has changed since the last time is sent to all, though it was rendered for one."""
    parts = Parts(a="1", b="1")
    parts.inside = {"b"}
    first = parts.broadcast.open(ENGLISH)
    pending(first)
    parts.texts |= {"a": "2", "b": "2"}
    second = parts.broadcast.open(ENGLISH)
    assert pending(first) == ["a=2 en", "b=2 en"]
    assert pending(second) == ["boot", "a=2 en"]
    parts.publish()
    assert (pending(first), pending(second)) == ([], [])


def test_who_does_not_read_has_no_more_than_one_of_each() -> None:
    """The newest, in the order in which they came last."""
    parts = Parts(a="1", b="1")
    slow = parts.broadcast.open(ENGLISH)
    for number in range(1000):
        parts.publish(a=f"{number}")
    assert len(slow._pending) == 3
    assert pending(slow) == ["boot", "b=1 en", "a=999 en"]


def test_streams_are_bounded() -> None:
    """One that ends makes room."""
    parts = Parts(a="1")
    streams = [parts.broadcast.open(ENGLISH) for _ in range(MAX_STREAMS)]
    with pytest.raises(TooManyStreams):
        parts.broadcast.open(ENGLISH)
    parts.broadcast.close(streams.pop())
    parts.broadcast.open(ENGLISH)


def test_the_first_and_the_last_are_told_of() -> None:
    """Nothing is rendered for a view that nobody has."""
    parts = Parts(a="1")
    streams = [parts.broadcast.open(view) for view in (ENGLISH, CHINESE)]
    assert parts.changes == 1
    parts.broadcast.close(streams[1])
    parts.publish(a="2")
    assert parts.rendered == [("a", "en")]
    parts.broadcast.close(streams[0])
    assert parts.changes == 2
    parts.publish(a="3")
    assert parts.rendered == []


def test_a_stream_without_news_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a comment."""
    monkeypatch.setattr("services.console.events.KEEP_ALIVE_SECONDS", 0.001)

    async def first() -> bytes:
        reading = Stream(ENGLISH).read()
        found = await anext(reading)
        await reading.aclose()
        return found

    assert asyncio.run(first()) == b":\n\n"
