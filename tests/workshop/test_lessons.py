"""Each lesson can be solved, begins unsolved, and tells each wrong server what is wrong with it."""

import re

import pytest

from lab.workshop.check import checks
from lab.workshop.language import LANGUAGES
from lab.workshop.lesson import Lesson
from tests.workshop.jobs import HERE, Job, Outcomes, solutions, starts, submitted, wrong

FAILS = re.compile(r"# fails (?P<check>\d+\.\d+)( (?P<kind>\w+))?: (?P<why>\S.*)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Prove the lessons that need no nodes of etcd."""
    prove(metafunc, HERE)


def prove(metafunc: pytest.Metafunc, among: list[Lesson]) -> None:
    """Give a test its jobs, or its lessons; each solution is run as often as --times says."""
    jobs = {
        test_what_one_starts_from_fails: starts(among),
        test_our_solutions_pass: solutions(among, metafunc.config.option.times),
        test_what_is_wrong_fails_the_check_that_it_names: wrong(among),
        test_what_is_wrong_is_said_in_each_language: [*starts(among), *wrong(among)],
    }
    if metafunc.function in jobs:
        metafunc.parametrize("job", jobs[metafunc.function], ids=str)
    elif "lesson" in metafunc.fixturenames:
        named = [pytest.param(each, id=each.folder.name) for each in among]
        metafunc.parametrize("lesson", named)


def failed(outcomes: Outcomes) -> list[str]:
    """Return the checks that have failed."""
    return [check for check, outcome in outcomes.items() if outcome["state"] == "failed"]


def test_what_one_starts_from_fails(job: Job, outcomes: Outcomes) -> None:
    """Otherwise there is nothing to do; but it starts, and nothing in it is merely broken."""
    assert failed(outcomes), job
    assert {outcome["kind"] for outcome in outcomes.values()} & {"not_listening", "hung"} == set()


def test_our_solutions_pass(job: Job, outcomes: Outcomes) -> None:
    """Each twice or more often, so that it is not by luck."""
    assert {check: each["state"] for check, each in outcomes.items()} == dict.fromkeys(
        outcomes, "passed"
    ), (job, outcomes)


def test_what_is_wrong_fails_the_check_that_it_names(job: Job, outcomes: Outcomes) -> None:
    """`# fails 1.2 kind: why` is its first line; it passes the checks before that."""
    first = job.file.read_text(encoding="utf-8").split("\n")[0]
    assert (named := FAILS.fullmatch(first)), f"{job.file}: {first}"
    found = failed(outcomes)
    assert found, outcomes
    assert (found[0], outcomes[found[0]]["kind"]) == (named["check"], named["kind"] or ""), outcomes


def test_what_is_wrong_is_said_in_each_language(job: Job, outcomes: Outcomes) -> None:
    """Three sentences with the figures in their places, about each check that fails."""
    for check in failed(outcomes):
        said = outcomes[check]["said"]
        assert {*said} == {*LANGUAGES}, job
        for sentences in said.values():
            assert len(sentences) == 3
            assert all(sentences)
            assert "{" not in "".join(sentences)


def test_each_check_is_the_only_failure_of_something_wrong(lesson: Lesson) -> None:
    """So none of them is there for nothing, and none is a part of another."""
    alone = {tuple(failed(submitted(job).result())) for job in wrong([lesson])}
    assert {(check.id,) for check in checks(lesson)} - alone == set()
