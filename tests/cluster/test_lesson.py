"""The lesson that needs nodes of etcd is proved as all others are, in tests/workshop."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest

from lab import ROOT, processes
from lab.description import project
from lab.stack import Stack
from lab.workshop import cluster as lesson_cluster
from lab.workshop.lesson import lesson
from lab.workshop.participant import MINE
from tests.support.pace import FAR, until
from tests.workshop.conftest import copied, outcomes  # noqa: F401 - fixtures
from tests.workshop.houses import lab
from tests.workshop.jobs import CLUSTERS, ON_CLUSTER, Job, submitted, wrong
from tests.workshop.test_lessons import (  # noqa: F401 - they are collected here
    prove,
    test_each_check_is_the_only_failure_of_something_wrong,
    test_our_solutions_pass,
    test_what_is_wrong_fails_the_check_that_it_names,
    test_what_is_wrong_is_said_in_each_language,
    test_what_one_starts_from_fails,
)
from tests.workshop.test_texts import (  # noqa: F401 - it is collected here
    test_the_commands_of_a_text_do_what_it_says,
)

pytestmark = pytest.mark.timeout(400)  # the first test waits for most of the runs

SIDE_BY_SIDE = 4  # clusters: most of the time, a check waits
TWELVE = lesson(12)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Prove the lessons that need nodes of etcd."""
    prove(metafunc, ON_CLUSTER)


@pytest.fixture
def named(
    cluster: Stack, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Have a lab of a name of its own, with the image of etcd, in the environment."""
    with ExitStack() as undo:
        name = labelled(f"{cluster.project}-by-hand", cluster, engine, undo)
        monkeypatch.setenv("COMPOSE_PROJECT_NAME", name)
        undo.callback(lesson_cluster.remove_if_there)
        yield name


@pytest.fixture
def house(copied: Path, named: str) -> Path:  # noqa: F811
    """Return a copy of the house, without a participant's files, whose lab has that name."""
    assert named
    shutil.rmtree(copied / "workshop" / "mine", ignore_errors=True)
    return copied


def labelled(name: str, cluster: Stack, engine: docker.DockerClient, undo: ExitStack) -> str:
    """Give the image of etcd to a lab of another name too; return that."""
    engine.images.get(f"{cluster.project}-etcd").tag(f"{name}-etcd")
    undo.callback(engine.images.remove, f"{name}-etcd")
    undo.callback(shutil.rmtree, ROOT / ".wirelab" / name, ignore_errors=True)
    return name


@pytest.fixture(scope="module", autouse=True)
def _clusters(
    cluster: Stack, engine: docker.DockerClient, request: pytest.FixtureRequest
) -> Iterator[None]:
    """Run clusters, if a chosen test needs them, and begin all runs on whichever is free."""
    jobs: list[Job] = []
    for item in request.session.items:
        parameters = getattr(item, "callspec", None)
        job = parameters.params.get("job") if parameters else None
        if isinstance(job, Job) and job.on_cluster:
            jobs.append(job)
        elif item.path == request.path and "only_failure" in item.name:
            jobs += wrong(ON_CLUSTER)
    if not jobs:
        yield
        return
    running = [submitted(job) for job in dict.fromkeys(jobs)]
    with ExitStack() as undo:
        for number in range(SIDE_BY_SIDE):
            name = labelled(f"{cluster.project}-{number}", cluster, engine, undo)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("COMPOSE_PROJECT_NAME", name)
                undo.enter_context(lesson_cluster.cluster())
            CLUSTERS.put(name)
        yield
        for each in running:
            each.cancel()
        for _ in range(SIDE_BY_SIDE):  # until nobody uses one
            CLUSTERS.get()


def left() -> list[str]:
    """Return what there is of the nodes of the lab in the environment."""
    return Stack(lesson_cluster.PROJECT.format(project())).left()


def test_a_check_brings_its_nodes_and_removes_them(
    named: str,
    house: Path,
) -> None:
    """Where none run; and it says that it does."""
    done = lab(house, "check", "12", f"--file={TWELVE.start}")
    assert done.returncode == 1, done.stderr
    assert "✗ 12.1" in done.stdout
    assert done.stderr.startswith("starting three nodes of etcd")
    assert left() == [], named


def test_an_interrupted_check_leaves_nothing(named: str, house: Path) -> None:
    """Also while its nodes are being started."""
    log = house / "log"
    command = ["python", "-m", "lab", "check", "12", f"--file={TWELVE.start}"]
    process = processes.start(command, {}, log, folder=house)
    until(lambda: "starting three nodes" in log.read_text(), "the nodes are started", FAR)
    process.send_signal(signal.SIGINT)
    assert process.wait(2 * FAR) == 130, log.read_text()
    assert left() == [], named


def test_what_a_killed_check_has_left_is_removed_with_the_lab(
    named: str,
    house: Path,
) -> None:
    """By `make down`; until then another check takes it as it is, and mends it."""
    log = house / "log"
    process = processes.start(["python", "-m", "lab.workshop.cluster"], {}, log, folder=house)
    try:
        until(lambda: log.read_text().count("listening on") == 3, "the nodes run", FAR)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len((house / MINE.relative_to(ROOT) / "nodes").read_text().split(",")) == 3
    nodes = lesson_cluster.Cluster(lesson_cluster.stack())
    nodes.kill("etcd-2")
    assert "etcd-2" not in nodes.addresses(), named
    where = nodes.restore()
    assert {*where} == {*lesson_cluster.NODES}
    assert len({*lesson_cluster.leaders(where).values()}) == 1
    done = lab(house, "down")
    assert done.returncode == 0, done.stderr
    assert left() == []


@pytest.mark.usefixtures("engine")
def test_an_image_that_is_missing_is_named(
    house: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And nothing is fetched from anywhere."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "wirelab-test-none")
    done = lab(house, "check", "12", f"--file={TWELVE.start}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "wirelab: lesson 12 needs three nodes of etcd in containers, and the image of etcd is not"
        " built: `make workshop-ready` builds it\n"
    )
