"""The commands that the pages and the help show: a shell passes them on as they are written."""

import re
import shlex
from collections.abc import Iterator

import pytest

from clients.cli.main import SUBCOMMANDS, parsed
from lab import ROOT
from tests.support.processes import run

MAKE = re.compile(r'make demo ARGS="(.*)"')
PYTHON = re.compile(r"python -m clients( .*)")
CLIENTS = re.compile(r"^  clients( .*)", re.MULTILINE)
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\\.")


def documented() -> Iterator[tuple[str, str]]:
    """Yield what follows `clients` in each command of a page, and the name of the page."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("services/*/README.md")]
    for page in pages:
        text = page.read_text()
        for found in (*MAKE.findall(text), *PYTHON.findall(text)):
            yield str(page.relative_to(ROOT)), without_comment(found)


def without_comment(command: str) -> str:
    """Return a command without the explanation behind it."""
    return re.split(r"\s{2,}|\s#|`|\s[|>&]", command.strip())[0]


COMMANDS = sorted(set(documented()))


def test_there_are_commands() -> None:
    """So that the tests below see some."""
    assert len(COMMANDS) > 10


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_of_a_page_is_quoted_and_there_is_one(page: str, command: str) -> None:
    """No folder has a file that the shell would put in its place; and the clients accept it."""
    assert not re.search(r"[\[\]*?{}~$]", QUOTED.sub("", command)), page
    if command and "--help" not in command and "..." not in command:
        parsed(shlex.split(command))


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_a_command_of_the_help_is_quoted_and_there_is_one(subcommand: str) -> None:
    """As those of the pages."""
    found = CLIENTS.findall(run(["python", "-m", "clients", subcommand, "--help"]).stdout)
    assert found
    for command in map(without_comment, found):
        assert not re.search(r"[\[\]*?{}~$]", QUOTED.sub("", command))
        if "/" not in command.partition("--file")[2] and "--file" not in command:
            parsed(shlex.split(command))
