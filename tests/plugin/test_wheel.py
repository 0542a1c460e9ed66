"""The plugin as its people get it: a wheel, in an environment that has nothing else of wirelab."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lab import ROOT
from services.version import VERSION
from tests.plugin.conftest import Foreign

NAMES = {"lab", "clients", "services"}  # of the packages in a clone
ABOUT = f"wirelab-{VERSION}.dist-info"
LOCK = ROOT / "tests/plugin/requirements.txt"
MANUAL = ROOT / "docs/testing.md"
FIXTURES = ("docker_engine", "stack", "stack_environment", "service", "relay", "wire")
# Beside the example: each worker writes down its stack, and one test waits for the other worker.
CONFTEST = """
import os, pathlib, pytest

@pytest.fixture(scope="session", autouse=True)
def _seen(stack):
    name = os.environ["PYTEST_XDIST_WORKER"]
    pathlib.Path(f"aside-{name}").write_text(stack.project)
    os.rename(f"aside-{name}", f"seen-{name}")
"""
OTHER = """
import pathlib, time

def test_other(service):
    deadline = time.monotonic() + 60
    while len(list(pathlib.Path().glob("seen-*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert service("web").container.status == "running"
"""


def run(*command: str | Path, folder: Path = ROOT) -> str:
    """Run a command to its end, and return what it printed; its failure is one of the test."""
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, as anybody builds a project of Python: by pip, and here without an index."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "-w", folder, ROOT)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it into an environment that has what it requires, and pytest-xdist."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    made = folder / "bin/python"
    pip = Path(sys.executable).with_name("uv"), "pip"
    run(*pip, "install", "--python", made, "--no-deps", "--require-hashes", "-r", LOCK)
    run(*pip, "install", "--python", made, "--no-index", wheel)
    run(*pip, "check", "--python", made)
    return made


@pytest.fixture
def installed(foreign: Foreign, python: Path) -> Foreign:
    """Return the example, where pytest is that of the environment, and nothing names the plugin."""
    foreign.pytest = [str(python), "-m", "pytest"]
    del foreign.environment["PYTHONPATH"]
    return foreign


def test_wheel_is_one_package(wheel: Path) -> None:
    """No name in an environment is taken but wirelab, and no module imports another one of ours."""
    assert wheel.name == f"wirelab-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert {name.partition("/")[0] for name in files} == {"wirelab", ABOUT}
    code = {name: data for name, data in files.items() if name.endswith(".py")}
    assert {f"wirelab/{name}.py" for name in ("testing/plugin", "compose")} < set(code)
    for name, data in code.items():
        for node in ast.walk(ast.parse(data)):
            if isinstance(node, ast.Import):
                roots = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots = {str(node.module).partition(".")[0]}
            else:
                continue
            assert not roots & NAMES, name
    metadata = files[f"{ABOUT}/METADATA"].decode()
    assert f"\nVersion: {VERSION}\n" in metadata
    assert "\n# Tests with real containers, in your own project\n" in metadata


def test_wheel_has_no_servers_and_no_tasks(wheel: Path) -> None:
    """What the plugin does not need is not in it."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [name for name in names if "/rest/" in name or "gunicorn" in name] == []
    assert [name for name in names if name.startswith(("wirelab/stack", "wirelab/workshop"))] == []
    assert len(names) < 70


def test_same_source_is_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Byte for byte, whenever it is built."""
    build = f"from lab.wheel import build_wheel; build_wheel({str(tmp_path)!r})"
    run(sys.executable, "-c", build)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_environment_knows_no_name_of_a_clone(python: Path, tmp_path: Path) -> None:
    """Neither by itself, nor when all that the fixtures need is imported."""
    code = (
        "import sys, importlib.util as util, wirelab.testing.network, wirelab.testing.service\n"
        f"for name in {NAMES}: assert util.find_spec(name) is None and name not in sys.modules"
    )
    run(python, "-c", code, folder=tmp_path)


def test_fixtures_are_there_without_a_word_in_the_project(python: Path, tmp_path: Path) -> None:
    """By the entry point; each with its first sentence."""
    listed = run(python, "-m", "pytest", "--fixtures", "-q", folder=tmp_path)
    _, _, ours = listed.partition("fixtures defined from wirelab.testing.plugin")
    found = {line.split()[0] for line in ours.splitlines() if line[:1].isalpha()}
    assert found >= set(FIXTURES)


def test_types_of_the_fixtures_are_known(python: Path, tmp_path: Path) -> None:
    """As the manual imports them; what a test does with them that cannot be is seen."""
    blocks = re.findall(r"```python\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    (shown,) = [block for block in blocks if "from wirelab" in block]
    test = tmp_path / "test_typed.py"
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python),
            f"--cache-dir={tmp_path / 'cache'}", str(test))  # fmt: skip
    test.write_text(shown)
    assert "Success" in run(*mypy, folder=tmp_path)
    wrong = """
    service("web").kiled()
    wire.requests("web")[0].sumary
    relay.adress("web")
    stack.compos("ps")
"""
    everything = "service: FindService, stack: Project, relay: Network, wire: Wire"
    test.write_text(f"{shown}\ndef test_wrong({everything}) -> None:{wrong}")
    done = subprocess.run(mypy, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert "Found 4 errors" in done.stdout, done.stdout


def test_example_passes_with_the_wheel_and_leaves_nothing(installed: Foreign) -> None:
    """As with the clone."""
    status, output = installed.run()
    assert (status, "5 passed" in output) == (0, True), output
    assert f"wirelab-{VERSION}" in output
    assert installed.left() == []


def test_workers_of_xdist_share_one_stack(installed: Foreign) -> None:
    """The real ones: the example on one of them, another test on the other, and nothing is left.

    Each has a file of its own, as the tests of the example change what they share.
    """
    (installed.folder / "conftest.py").write_text(CONFTEST)
    installed.test(OTHER)
    status, output = installed.run("-n", "2", "--dist", "loadfile")
    assert (status, "6 passed" in output) == (0, True), output
    seen = {path.name: path.read_text() for path in installed.folder.glob("seen-*")}
    assert set(seen) == {"seen-gw0", "seen-gw1"}
    assert len(set(seen.values())) == 1
    assert installed.left() == []
