"""What is drawn of conversations that anybody wrote: nothing of it acts, and all is bounded."""

import unicodedata
import xml.etree.ElementTree as ET
from random import Random

from services.wire.conversation import Conversations
from services.wire.diagram import diagram
from services.wire.ladder import ladder
from services.wire.svg import svg
from services.wire.visible import width


def check_shown(text: str) -> None:
    """Check that nothing in a text acts on a terminal, or is not seen."""
    for character in set(text) - {"\n"}:
        category = unicodedata.category(character)
        assert category[0] != "C", f"{character!r} is a {category}"
        assert category not in ("Zl", "Zp"), f"{character!r} is a {category}"


def check_drawn(found: Conversations, random: Random) -> None:
    """Draw all conversations, and check what comes out."""
    for conversation in found:
        for event in conversation.events:
            check_shown("\n".join((event.summary, event.note, *event.details)))
            assert len(event.details) < 250
            assert max(map(len, (event.summary, *event.details))) < 1000
        shown = diagram(conversation, random.choice([1, 4, 100]))
        for size in (60, 80, random.randint(60, 200)):
            text = ladder(shown, size)
            check_shown(text)
            lines = text.split("\n")
            assert max(map(width, lines)) <= size
            assert len(lines) < 1000
        picture = svg(shown)
        check_shown(picture)
        check_svg(picture)


def check_svg(picture: str) -> None:
    """Check that a picture is well-formed, and that nothing of the wire is anything but text."""
    root = ET.fromstring(picture)  # noqa: S314 - ours
    tags = {each.tag.removeprefix("{http://www.w3.org/2000/svg}") for each in root.iter()}
    assert tags <= {
        "svg",
        "title",
        "desc",
        "style",
        "g",
        "rect",
        "line",
        "polygon",
        "text",
        "tspan",
    }
    names = {name for each in root.iter() for name in each.attrib}
    assert not {
        name for name in names if name.startswith("on") or "href" in name or name == "style"
    }
