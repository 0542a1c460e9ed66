"""The table of docs/reliability.md, which the hostile tests write."""

import ast
import re
from collections.abc import Iterator

import pytest

from lab import ROOT
from tests.hostile.reliability import Row, document

PAGE = ROOT / "docs/reliability.md"


def row(name: str, case: str = "") -> Row:
    """Return a row of a test of that name."""
    return Row("On the wire", f"{name} holds.", case, f"tests/hostile/test_wire.py::{name}")


def test_a_row_has_the_promise_its_test_and_what_was_measured() -> None:
    """A promise that several servers make is said once."""
    first, second = row("test_a", "rpc"), row("test_a", "kv")
    first.limit("100 %")
    first.safe("20 of 20")
    first.naive("threaded", "0 of 20 | 3 failed")
    first.naive("single", "none")
    second.limit("100 %")
    second.safe("19 of 20")
    page = document([first, second, row("test_b"), row("test_c")])
    assert page.partition("## On the wire")[2].startswith(
        "\n\n| promise | demanded | of | measured | naive |\n|---|---|---|---|---|\n"
        "| test_a holds. ([test_a](../tests/hostile/test_wire.py)) | 100 % | rpc | 20 of 20"
        " | threaded: 0 of 20 \\| 3 failed<br>single: none |\n"
        "|  |  | kv | 19 of 20 |  |\n"
        "| test_b holds. ([test_b](../tests/hostile/test_wire.py)) |  |  |  |  |\n"
    )


def test_a_naive_driver_stands_beside_the_default_of_its_service() -> None:
    """Whatever other drivers were measured in between."""
    rows = [row("test_a", case) for case in ("rpc evented", "rpc threaded", "rpc classic")]
    for each in rows:
        each.service = "rpc"
    rows[0].safe("20 of 20")
    rows[1].safe("19 of 20")
    rows[2].naive("classic", "none")
    assert (
        document(rows)
        .partition("## On the wire")[2]
        .startswith(
            "\n\n| promise | demanded | of | measured | naive |\n|---|---|---|---|---|\n"
            "| test_a holds. ([test_a](../tests/hostile/test_wire.py)) |  | rpc evented | 20 of 20"
            " | classic: none |\n"
            "|  |  | rpc threaded | 19 of 20 |  |\n\n"
        )
    )


def promises() -> Iterator[tuple[str, str, str]]:
    """Yield each test that has something measured: its file, its name and what it promises."""
    for path in sorted((ROOT / "tests/hostile").glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and "measured" in (
                argument.arg for argument in node.args.args
            ):
                promise = (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ")
                yield path.name, node.name, promise


@pytest.mark.parametrize(("file", "name", "promise"), list(promises()))
def test_the_page_has_what_every_test_promises(file: str, name: str, promise: str) -> None:
    """In the words of the test: otherwise `make reliability` is due."""
    assert f"| {promise} ([{name}](../tests/hostile/{file})) |" in PAGE.read_text()


def test_the_page_promises_nothing_that_is_not_tested() -> None:
    """Each test that it names is there."""
    named = re.findall(r"\(\[(\w+)\]\(\.\./tests/hostile/(\w+\.py)\)\)", PAGE.read_text())
    assert sorted(named) == sorted((name, file) for file, name, _ in promises())
