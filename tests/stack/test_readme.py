"""What README and docs show, run as it is written but for the ports and the key of this stack."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.addresses import PORTS, Address
from lab import ROOT
from lab.stack import Stack
from tests.stack.conftest import Find
from tests.support.engine import lab

ONE_LINER = re.compile(r'^# ([a-z-]+): (.*)\n(python3 -c ".*")$', re.MULTILINE)
ONE_LINERS = ONE_LINER.findall((ROOT / "docs/by-hand.md").read_text())
PAGES = "".join(page.read_text() for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize(
    ("service", "says", "line"), [pytest.param(*found, id=found[0]) for found in ONE_LINERS]
)
def test_one_liner_works(
    published: Callable[[str], Address], key_file: Path, service: str, says: str, line: str
) -> None:
    """It prints what the README says that it prints."""
    port = str(PORTS[service])
    assert port in line
    code = shlex.split(line)[2].replace(port, str(published(service).port))
    done = subprocess.run(
        [sys.executable, "-c", code.replace("secrets/authkey", str(key_file))],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    if "Wed Aug 15 20:35:08 2012" in says:
        assert re.fullmatch(r"b'request-1 \w{3} \w{3} [ \d]\d [\d:]{8} \d{4}'\n", done.stdout)
    elif says.endswith(" in a page"):
        assert says.removesuffix(" in a page") in done.stdout
    elif says.endswith(", in JSON"):
        assert '"args": {\n    "name1": "value1"\n  }' in done.stdout
    else:
        assert done.stdout == says + "\n"


DEMO = re.compile(r'^(?:\$ )?make demo ARGS="(.*)"$', re.MULTILINE)
COMMAND = re.compile(r"^(?:\$ )?make ((?:wire|network)\b.*?) *(?:#.*)?$", re.MULTILINE)
# What goes on until Ctrl-C is tested in tests/contract/test_wire_client.py.
COMMANDS = sorted(line for line in set(COMMAND.findall(PAGES)) if "--follow" not in line)
RAISING = ("rpc --via relay sub '[1, 2]' 4",)  # an exception, which is what it is shown for
DEMOS = list(dict.fromkeys(DEMO.findall(PAGES)))


@pytest.mark.parametrize("arguments", DEMOS)
def test_demo_works(stack: Stack, find: Find, arguments: str) -> None:
    """Each `make demo` that is shown ends well; the comparisons find the variants running."""
    if "--all" in arguments:
        assert find("kv-single").status == "running"
    done = lab(stack, "demo", "--", *shlex.split(arguments))
    assert done.returncode == (arguments in RAISING), done.stdout + done.stderr


@pytest.mark.parametrize("line", COMMANDS)
def test_command_works(stack: Stack, tmp_path: Path, line: str) -> None:
    """Each `make wire` and `make network` that is shown and comes to an end by itself."""
    task, *words = shlex.split(line, comments=True)
    named = dict(word.split("=", 1) for word in words)
    more = [word if "." not in word else str(tmp_path / word)
            for word in shlex.split(named.pop("ARGS", ""))]  # fmt: skip
    options = [f"--{name.lower()}={value}" for name, value in named.items()]
    done = lab(stack, task, *options, *(["--", *more] if more else []))
    assert done.returncode == 0, done.stderr
    lab(stack, "network", "--profile=clean")


def test_every_service_has_a_one_liner() -> None:
    """The page shows how to talk to each of the servers."""
    assert [service for service, _, _ in ONE_LINERS] == list(PORTS)
