"""A lesson's text on the terminal: lines that fit, in both languages; and tracebacks, shortened."""

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from lab.workshop import page
from lab.workshop.trace import trace
from lab.workshop.wrap import NOT_FIRST, NOT_LAST, wrap

CHINESE = (
    "监听套接字占有一个端口，但从不传送任何字节。"  # noqa: RUF001 - Chinese
    "在它上面每调用一次 accept()，就得到一个（新的）连接。"  # noqa: RUF001 - Chinese
)
ENGLISH = (
    "The listening socket has a port, and never carries a byte. Each accept() returns a connection."
)


@pytest.mark.parametrize("text", [CHINESE, ENGLISH], ids=["Chinese", "English"])
@pytest.mark.parametrize("width", range(12, 80, 7))
def test_lines_fit(text: str, width: int) -> None:
    """None is wider than that, nothing but spaces is lost, no line begins with a full stop."""
    lines = [line.plain for line in wrap(Text(text), width)]
    assert max(map(cell_len, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert not [line for line in lines if line[0] in NOT_FIRST or line[-1] in NOT_LAST]


def test_a_word_that_is_too_long_is_cut() -> None:
    """There is no other way."""
    assert [line.plain for line in wrap(Text("a" * 25), 10)] == ["a" * 10, "a" * 10, "a" * 5]


def test_an_empty_text() -> None:
    """It is one empty line."""
    assert [line.plain for line in wrap(Text(""), 10)] == [""]


def shown(markdown: str) -> str:
    """Return what the terminal shows of a page."""
    console = Console(file=io.StringIO(), width=40, highlight=False)
    page.show(console, markdown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_page() -> None:
    """Headings, paragraphs, lists and code; a [tag] is not rich's markup."""
    text = "# One\n\nTwo *and* **a [/b] `half`**\nthree.\n\n- four\n  five\n- six\n\n"
    assert shown(text + "```sh\nls [a]\n```\n") == (
        "\n One\n ───\n\n Two and a [/b] half three.\n\n  • four five\n  • six\n\n   │ ls [a]\n"
    )


def test_the_last_section_is_apart() -> None:
    """It is shown after a pass."""
    assert page.sections("# A\n\n## B\n\nb\n\n## C\n\nc\n") == ("# A\n\n## B\n\nb\n", "## C\n\nc\n")


LOG = """listening on 127.0.0.1:1
Traceback (most recent call last):
  File "/somewhere/mine.py", line 2, in <module>
    main()
  File "/usr/lib/python3.11/socket.py", line 200, in accept
    fd, addr = self._accept()
               ^^^^^^^^^^^^^^
OSError: [Errno 22] Invalid argument
"""


def test_a_traceback_is_shortened_to_ones_own_line(tmp_path: Path) -> None:
    """The last one of one's own file, and the error."""
    file = tmp_path / "mine.py"
    file.write_text("import socket\n    main()\n")
    assert trace(LOG, file) == ("mine.py", 2, "main()", "OSError: [Errno 22] Invalid argument")


@pytest.mark.parametrize(
    "log",
    ["", "listening on 127.0.0.1:1\n", LOG.replace("mine.py", "other.py"), LOG.split("OSError")[0]],
    ids=["nothing", "no traceback", "of another file", "cut off"],
)
def test_what_is_no_traceback_of_ones_own(log: str, tmp_path: Path) -> None:
    """Nothing is made of it."""
    file = tmp_path / "mine.py"
    file.write_text("pass\n")
    assert trace(log, file) is None
