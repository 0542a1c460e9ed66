"""kv on etcd, and the gateway of etcd beside it: both answer, and without etcd neither is run."""

from pathlib import Path

import docker
import pytest

from bench import BUILD, etcd, http_requests
from bench import __main__ as command_line
from bench.runs import measure, running
from bench.workloads import GATEWAY, ON_ETCD, Target, Workload, workloads
from clients import kv
from lab import engine
from tests.support.pace import until

WORKLOADS = [each for each in workloads() if each.on_etcd]


@pytest.fixture(scope="module", autouse=True)
def _program(docker_engine: docker.DockerClient) -> None:
    """Have the program etcd, and the requests."""
    assert docker_engine
    BUILD.mkdir(parents=True, exist_ok=True)
    http_requests.write()
    assert etcd.provide()


def named(workload: Workload, name: str) -> Target:
    """Return a target of a workload."""
    (found,) = (target for target in workload.targets if target.name == name)
    return found


@pytest.mark.parametrize("each", WORKLOADS, ids=lambda each: each.what)
def test_all_of_them_answer(each: Workload) -> None:
    """With what they are asked for: a value that was set, or that it is set."""
    assert {ON_ETCD, GATEWAY} < {target.name for target in each.targets}
    for target in each.targets:
        sample = measure(each, target, 0.2, 0)
        assert sample.rate > 0
        assert (sample.never_served, sample.failures) == (0, 0)


def test_what_kv_sets_is_in_etcd() -> None:
    """And in no file; the next time etcd has nothing."""
    on_etcd = named(WORKLOADS[0], ON_ETCD)
    for _ in range(2):
        with running(on_etcd) as (_, address), kv.proxy(address) as store:
            assert store.keys() == []
            store.set("a", 1)
            assert not list(BUILD.glob("kv.sqlite3*"))


def test_etcd_is_no_part_of_what_is_measured() -> None:
    """Of kv on it there are two processes: gunicorn's own and its worker."""
    on_etcd = named(WORKLOADS[0], ON_ETCD)
    with running(on_etcd) as (process, _):
        until(lambda: len(process.children(recursive=True)) == 1, "its worker is there, alone")


def test_without_an_engine_only_what_is_on_etcd_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so."""
    monkeypatch.setattr(etcd, "PROGRAM", tmp_path / "etcd")
    monkeypatch.setattr(engine, "answers", lambda: False)
    wanted = workloads()
    assert command_line.possible(wanted) == [each for each in wanted if each not in WORKLOADS]
    said = "kv-cluster is left out: the program etcd is in an image, and no engine answers\n"
    assert capsys.readouterr().err == said
    assert command_line.possible(wanted[:1]) == wanted[:1]
    assert capsys.readouterr().err == ""
