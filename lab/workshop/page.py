"""A lesson's text on the terminal: of Markdown, what the lessons are written in.

Headings, paragraphs, lists, blocks of code, `code`, **strong** and [links](to/somewhere).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from lab.workshop.wrap import wrap

COLUMNS = 78  # of a text; longer lines are hard to read
INLINE = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<strong>[^*]+)\*\*|\*(?P<stressed>[^*]+)\*"
    r"|\[(?P<link>[^\]]+)\]\([^)]+\)"
)
STYLES = {"strong": "bold", "stressed": "italic", "link": "underline"}
ITEM = re.compile(r"(?P<mark>[-*]|\d+\.) +(?P<text>.*)")
CODE = "cyan"
PYTHON = ("py", "python")


@dataclass
class Block:
    """A part of a page; `info` is the level of a heading, the language of code, an item's mark."""

    kind: str  # "heading", "paragraph", "item" or "code"
    info: str
    text: str


def blocks(markdown: str) -> Iterator[Block]:
    """Yield the parts of a page."""
    lines = iter(markdown.splitlines())
    open_block: Block | None = None
    for line in lines:
        if line.startswith("```"):
            if open_block:
                yield open_block
                open_block = None
            code = []
            for inner in lines:
                if inner.startswith("```"):
                    break
                code.append(inner)
            yield Block("code", line[3:].strip(), "\n".join(code))
        elif heading := re.fullmatch(r"(#+) (.*)", line):
            if open_block:
                yield open_block
                open_block = None
            yield Block("heading", str(len(heading[1])), heading[2])
        elif not line.strip():
            if open_block:
                yield open_block
                open_block = None
        elif item := ITEM.fullmatch(line):
            if open_block:
                yield open_block
            open_block = Block("item", item["mark"], item["text"])
        elif open_block:
            open_block.text = joined(open_block.text, line.strip())
        else:
            open_block = Block("paragraph", "", line.strip())
    if open_block:
        yield open_block


def joined(text: str, line: str) -> str:
    """Join two lines of a paragraph; Chinese has no space there."""
    wide = cell_len(text[-1:]) == 2 and cell_len(line[:1]) == 2
    return text + ("" if wide else " ") + line


def sections(markdown: str) -> tuple[str, str]:
    """Return a lesson's text up to its last section, and that: what is to be seen after a pass."""
    at = markdown.rfind("\n## ")
    return markdown[:at], markdown[at + 1 :]


def styled(text: str, style: str = "") -> Text:
    """Return a paragraph with its code and strong words."""
    found = Text()
    at = 0
    for match in INLINE.finditer(text):
        found.append(text[at : match.start()], style)
        kind = str(match.lastgroup)
        if kind == "code":
            found.append(match["code"], f"{style} {CODE}".strip())
        else:
            found.append(styled(match[kind], f"{style} {STYLES[kind]}".strip()))
        at = match.end()
    found.append(text[at:], style)
    return found


def put(console: Console, text: Text, indent: int = 0, first: Text | str = "") -> None:
    """Print a text in lines that fit, indented; `first` stands before the first of them."""
    width = min(console.width, COLUMNS + 2) - 1 - indent
    lead = Text.assemble(first)
    for line in wrap(text, width):
        console.print(lead + " " * (indent - lead.cell_len) + line, soft_wrap=True)
        lead = Text()


def show(console: Console, markdown: str) -> None:
    """Print a page."""
    before = ""
    for block in blocks(markdown):
        if not (before == block.kind == "item"):
            console.print()
        match block.kind:
            case "heading" if block.info == "1":
                put(console, styled(block.text, "bold"), 1)
                console.print(Text(" " + "─" * cell_len(block.text), "cyan"))
            case "heading":
                put(console, styled(block.text, "bold cyan"), 1)
            case "item":
                mark = "  • " if block.info in "-*" else f"  {block.info} "
                put(console, styled(block.text), len(mark), mark)
            case "code":
                code(console, block)
            case _:
                put(console, styled(block.text), 1)
        before = block.kind


def code(console: Console, block: Block) -> None:
    """Print a block of code, in colours if it is Python."""
    language = (block.info.split() or [""])[0]
    if language in PYTHON:
        text = Syntax("", "python", theme="ansi_dark").highlight(block.text)
    else:
        text = Text(block.text, CODE)
    for line in text.split("\n"):
        line.rstrip()
        console.print(Text("   │ ", "dim") + line, soft_wrap=True)
