"""The plugin on a foreign project: what passes, what fails, what is said, and what is left."""

import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from lab.compose import Project
from lab.testing.sharing import Sharing
from tests.plugin.conftest import EXAMPLE, SECONDS, Foreign, ended
from tests.support.pace import until

SLOW = """
import pathlib, time

def test_slow(service):
    pathlib.Path("started").touch()
    time.sleep(600)
"""


def test_example_passes_and_leaves_nothing(foreign: Foreign) -> None:
    """Addresses, logs, commands and faults, in a project of two services."""
    status, output = foreign.run()
    assert "5 passed" in output
    assert status == 0
    assert foreign.left() == []


def test_example_is_short_and_knows_nothing_of_wirelab() -> None:
    """What is shown in docs/testing.md can be copied: about 40 lines of tests, and no import."""
    code = (EXAMPLE / "test_example.py").read_text()
    assert len([line for line in code.splitlines() if line]) <= 45
    assert not [path for path in EXAMPLE.iterdir() if "lab" in path.read_text().split()]


def test_failing_test_shows_what_the_containers_wrote_since_it_began(foreign: Foreign) -> None:
    """In the order of time, with their names, and nothing of the test before."""
    name = foreign.test("""
from urllib.request import urlopen

def get(service, page):
    urlopen(f"http://{service('web').address()}/?{page}")

def test_before(service):
    get(service, "before")
    service("web").wait_for_log("?before")  # the engine stamps a line when it comes there

def test_fails(service):
    get(service, "first")
    service("cache").exec("sh", "-c", "echo second > /proc/1/fd/1")
    get(service, "third")
    assert False
""")
    status, output = foreign.run(name)
    assert status == 1
    _, _, shown = output.partition(" since the test began -")
    assert "before" not in shown
    lines = [line for line in shown.splitlines() if line.startswith(("web-1", "cache-1"))]
    words = [word for line in lines for word in ("?first", "second", "?third") if word in line]
    assert words == ["?first", "second", "?third"]


def test_service_that_does_not_get_healthy_is_shown_and_nothing_is_left(foreign: Foreign) -> None:
    """With the states of all, what its health check printed, and its log; and no traceback.

    The first of the five tests shows it, and the others refer to that.
    """
    check = ["CMD", "sh", "-c", "echo no luck; exit 1"]
    options = foreign.override(
        web={
            "command": ["sh", "-c", "echo the log of web; exec sleep 600"],
            "healthcheck": {"test": check, "interval": "0.2s", "retries": 2},
        }
    )
    status, output = foreign.run(*options)
    assert status == 1
    assert "not healthy: web\n" in output
    assert "cache: Up " in output
    assert output.count("web, its last health check:\nno luck\n") == 1
    assert output.count("web-1  | the log of web\n") == 1
    assert output.count("the stack has not started: the first error says why") == 4
    assert "Traceback" not in output
    assert foreign.left() == []


def test_compose_file_gets_the_environment_of_the_project(foreign: Foreign) -> None:
    """From a fixture that a conftest.py overrides; what it asks for is there until the end."""
    (foreign.folder / "conftest.py").write_text("""
import pytest

@pytest.fixture(scope="session")
def stack_environment():
    return {"GREETING": "hello"}
""")
    name = foreign.test("""
def test_greeting(service):
    assert service("web").exec("printenv", "GREETING") == (0, "hello\\n")
""")
    options = foreign.override(web={"environment": {"GREETING": "${GREETING:?}"}})
    status, output = foreign.run(name, *options)
    assert status == 0, output
    assert foreign.left() == []


def test_image_that_cannot_be_built_is_shown(foreign: Foreign) -> None:
    """The step that failed, and what it printed."""
    dockerfile = f"FROM {foreign.environment['PYTHON_IMAGE']}\nRUN echo a slip; exit 3"
    options = foreign.override(web={"build": {"dockerfile_inline": dockerfile}})
    status, output = foreign.run(*options)
    assert status == 1
    assert "docker compose build failed:" in output
    assert "a slip" in output
    assert foreign.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_nothing(foreign: Foreign, number: signal.Signals) -> None:
    """By Ctrl-C, or as CI systems end it, while a test runs."""
    process = foreign.start(foreign.test(SLOW))
    foreign.file("started")
    assert foreign.left() != []
    process.send_signal(number)
    status, _ = ended(process)
    assert status == pytest.ExitCode.INTERRUPTED
    assert foreign.left() == []


def test_second_interrupt_does_not_stop_the_removal(foreign: Foreign) -> None:
    """Whoever presses Ctrl-C again while containers are removed leaves nothing either."""
    process = foreign.start(foreign.test(SLOW))
    foreign.file("started")
    process.send_signal(signal.SIGINT)
    until(lambda: len(foreign.running()) < 2, "the first container is stopped", SECONDS)
    process.send_signal(signal.SIGINT)
    status, _ = ended(process)
    assert status == pytest.ExitCode.INTERRUPTED
    assert foreign.left() == []


def never_healthy(foreign: Foreign) -> list[str]:
    """Return options with which the start waits for a service, whose check writes a file."""
    return foreign.override(
        cache={
            "command": ["sleep", "600"],
            "volumes": [f"{foreign.folder}:/shared"],
            "healthcheck": {"test": ["CMD", "touch", "/shared/started", "/none/at/all"]},
        },
        web={"depends_on": {"cache": {"condition": "service_healthy"}}},
    )


def test_interrupted_start_leaves_nothing(foreign: Foreign) -> None:
    """Not even what Compose would have started after that."""
    options = never_healthy(foreign)
    process = foreign.start(*options)
    foreign.file("started")
    process.send_signal(signal.SIGINT)
    status, _ = ended(process)
    assert status == pytest.ExitCode.INTERRUPTED
    assert foreign.left() == []


def test_leftovers_fail_the_run_and_are_named(foreign: Foreign) -> None:
    """A container that a test has started and forgotten keeps the network of the stack."""
    stray = f"{foreign.folder.name}-stray"
    name = foreign.test(f"""
def test_forgets(stack, docker_engine):
    docker_engine.containers.run(
        "{foreign.environment["PYTHON_IMAGE"]}", ["sleep", "600"], detach=True, init=True,
        name="{stray}", network=f"{{stack.project}}_default",
    )
""")
    try:
        status, output = foreign.run(name)
        (left,) = foreign.left()
        assert status == 1
        assert "1 passed" in output
        assert f": network {left} (container {stray} is connected)" in output
    finally:
        foreign.engine.containers.get(stray).remove(force=True)
    for network in foreign.engine.networks.list(names=[left]):
        network.remove()


def test_kept_stack_is_used_again_and_never_removed(foreign: Foreign) -> None:
    """The first run says how to use it and how to remove it, and both work."""
    status, output = foreign.run("--stack-keep", "-k", "page")
    assert status == 0
    (project,) = foreign.projects()
    assert f"{project} goes on running" in output
    (use,) = [word for word in output.split() if word.startswith("--stack-use=")]
    (remove,) = [line.partition("remove it: ")[2] for line in output.splitlines() if "down" in line]
    stack = Project(project, foreign.environment, [foreign.folder / "compose.yaml"])
    before = [container["ID"] for container in stack.containers()]
    status, output = foreign.run(use)
    assert status == 0
    assert "5 passed" in output
    assert [container["ID"] for container in stack.containers()] == before
    subprocess.run(shlex.split(remove), cwd="/", check=True, capture_output=True)
    assert foreign.left() == []


WORKER = """
import os, pathlib, time

def wait_for(name):
    while not pathlib.Path(name).exists():
        time.sleep(0.05)

def test_shared(stack, service):
    me = os.environ["PYTEST_XDIST_WORKER"]
    pathlib.Path(f"seen-{me}").write_text(f"{stack.project} {service('web').container.id}")
    wait_for("seen-gw1" if me == "gw0" else "gw0-has-ended")
    assert service("web").container.status == "running"
"""


def test_workers_share_one_stack_and_the_last_removes_it(foreign: Foreign, tmp_path: Path) -> None:
    """As those of pytest-xdist do, whose environment and folders the two processes have."""
    name = foreign.test(WORKER)
    (tmp_path / "run").mkdir()
    first, last = [
        foreign.start(
            name,
            f"--basetemp={tmp_path}/run/popen-{worker}",
            PYTEST_XDIST_WORKER=worker,
            PYTEST_XDIST_TESTRUNUID="5eed",
        )
        for worker in ("gw0", "gw1")
    ]
    status, output = ended(first)
    assert status == 0, output
    (foreign.folder / "gw0-has-ended").touch()
    status, output = ended(last)
    assert status == 0, output
    assert len({path.read_text() for path in foreign.folder.glob("seen-*")}) == 1
    assert foreign.left() == []


@pytest.mark.parametrize("moment", ["while it starts", "while a test runs"])
def test_stack_of_a_killed_worker_is_removed_by_the_last(
    foreign: Foreign, tmp_path: Path, moment: str
) -> None:
    """As by the controller of pytest-xdist, which leaves after its workers."""
    (tmp_path / "run").mkdir()
    controller = Sharing(tmp_path / "run", "5eed")
    options = never_healthy(foreign) if moment == "while it starts" else []
    worker = foreign.start(
        foreign.test(SLOW),
        *options, f"--basetemp={tmp_path}/run/popen-gw0",
        PYTEST_XDIST_WORKER="gw0", PYTEST_XDIST_TESTRUNUID="5eed",
    )  # fmt: skip
    foreign.file("started")
    worker.kill()
    worker.wait()
    assert foreign.left() != []
    controller.leave(lambda project: Project(project).remove())
    assert foreign.left() == []


ERRORS = """
import pytest

def test_unknown_service(service):
    service("wbe")

def test_choice_of_ports(service):
    service("cache").address()

def test_no_such_port(service):
    service("web").address(80, "udp")

def test_stopped(service):
    with service("web").stopped():
        service("web").address()

def test_command_where_nothing_runs(service):
    with service("web").stopped():
        service("web").exec("ls", "/")

def test_no_relay(relay):
    pass
"""


def test_errors_say_what_there_is(foreign: Foreign) -> None:
    """An unknown service, a port that is none, one of several, and a service that is stopped.

    The last line that is shown is the test's own.
    """
    name = foreign.test(ERRORS)
    status, output = foreign.run(name)
    assert status == 1
    assert "5 failed" in output
    assert len(re.findall(rf"^{name}:\d+: LabError$", output, re.MULTILINE)) == 5
    assert "APIError" not in output
    for error in (
        "no service 'wbe'; there are cache, web",
        "service 'cache' publishes more than one port: which of 8000/tcp, 8000/udp?",
        "service 'web' publishes no port 80/udp; it publishes 8000/tcp",
        "service 'web' does not run",
        "no service 'relay'; there are cache, web",
    ):
        assert f"LabError: {error}\n" in output
    assert "def relay" not in output
    assert re.search(r"LabError: service 'web' cannot run 'ls': .* is not running", output)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param(["--stack-file=none.yaml"], "no compose file none.yaml", id="file"),
        pytest.param(["-o", "stack_timeout=soon"], "stack_timeout has value 'soon'.", id="timeout"),
        pytest.param(
            ["--stack-use=none"], "--stack-use=none: no container of this project runs", id="use"
        ),
    ],
)
def test_wrong_option_is_named(foreign: Foreign, options: list[str], error: str) -> None:
    """In a line, without a traceback."""
    status, output = foreign.run(*options)
    assert status == 1
    assert f"\n{error}" in output
    assert "Error\n" not in output


def test_folder_without_a_compose_file_is_named(foreign: Foreign) -> None:
    """With the two ways to say which it is; and in the ini file is one of them."""
    (foreign.folder / "compose.yaml").rename(foreign.folder / "stack.yaml")
    status, output = foreign.run()
    assert status == 1
    assert f"no compose file in {foreign.folder}: name it with --stack-file, or as stack" in output
    (foreign.folder / "pytest.ini").write_text("[pytest]\nstack_file = stack.yaml\n")
    status, output = foreign.run("-k", "page")
    assert status == 0, output


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_without_an_engine_tests_are_skipped_but_fail_in_ci(
    foreign: Foreign, ci: str, status: int
) -> None:
    """With the reason, and where it was looked for."""
    done, output = foreign.run("-rs", DOCKER_HOST="unix:///none", CI=ci)
    assert done == status
    assert "no Docker engine with Compose at DOCKER_HOST=unix:///none: " in output
    assert "another exception occurred" not in output
    assert ("5 errors" if ci else "5 skipped") in output
