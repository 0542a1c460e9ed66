"""The time line of a register, on the terminal and as SVG."""

import re
import xml.etree.ElementTree as ET

import pytest

from services.wire.svg import STYLE
from services.wire.timeline import Call, Timeline, svg, text
from services.wire.visible import width

SHOWN = Timeline(
    "Leader, latency and register",
    4.0,
    [(0.0, "etcd-2"), (1.0, ""), (2.5, "etcd-1")],
    [
        Call(0.1, 0.01, "3"),
        Call(0.5, 0.01, "4"),
        Call(1.1, 0.2, ""),
        Call(1.3, 1.6, "5"),
        Call(3.5, 0.01, "6"),
    ],
    ("leader", "latency", "register"),
    "█ 1,600 ms",
)
TEXT = """\
Leader, latency and register

s           0           1           2           3
leader      ━ etcd-2 ━━━· — ··············━ etcd-1 ━━━━━━━━━
latency      ▁    ▁      ▁▁████████████████████       ▁
register    ─3────4───────────────────────────5───────6─────

█ 1,600 ms"""  # fmt: skip


def test_its_rows_have_one_scale() -> None:
    """What is below one another has happened at the same time."""
    assert text(SHOWN, 60) == TEXT


@pytest.mark.parametrize("size", [60, 77, 200])
def test_it_fits(size: int) -> None:
    """Whatever is in it."""
    calls = [Call(0.1, 0.5, "7" * 40)] * 99
    long = Timeline("x" * 300, 0.3, [(0.0, "y" * 99)], calls, ("z" * 40, "領" * 40, ""), "!" * 300)
    for each in (SHOWN, long):
        assert max(map(width, text(each, size).splitlines())) <= size


def test_nothing_has_happened() -> None:
    """A check may end before the first call."""
    nothing = Timeline("nothing", 0.1, [(0.0, "")], [], ("a", "b", "c"), "")
    assert text(nothing).startswith("nothing")
    assert "0 calls" in svg(nothing)


def test_the_picture_says_the_same() -> None:
    """With what is the fault in the colour of faults; for a screen reader in sentences."""
    root = ET.fromstring(svg(SHOWN))  # noqa: S314 - our own
    found = {each.tag.rpartition("}")[2] for each in root.iter()}
    assert found == {"svg", "title", "desc", "style", "rect", "line", "text"}
    said = "".join(root.itertext())
    assert "From 1.0 s to 2.5 s nobody leads." in said
    assert "5 calls, 4 of them done; the longest took 1600 ms." in said
    texts = [each.text for each in root.iter() if each.tag.endswith("}text")]
    assert [each for each in texts if each in ("3", "4", "5", "6")][-4:] == ["3", "4", "5", "6"]
    kinds = {kind for each in root.iter() for kind in each.get("class", "").split()}
    assert kinds - {"lost"} <= {*re.findall(r"\.([a-z]+)", STYLE)}
    assert "cross" in kinds
