"""A lesson says the same in both languages, and its commands do what they are shown to do."""

import doctest
import os
import re
import signal
import socket
import string
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.processes import LISTENING
from lab.workshop import page
from lab.workshop.check import checks
from lab.workshop.language import LANGUAGES, words
from lab.workshop.lesson import Lesson, lessons
from lab.workshop.messages import texts
from tests.support.pace import until
from tests.workshop.jobs import HERE
from tests.workshop.test_lessons import prove
from tests.workshop.texts import changed

LESSONS = [pytest.param(each, id=each.folder.name) for each in lessons()]
HINTS = 3
COLUMNS = 74  # of code, so that it fits beside its margin on a terminal of 80
PORT = "6999"  # in the texts; here it is one that is free
CODE = re.compile(r"`([^`]+)`")
CHECKS = re.compile(r"\b\d+\.\d\b")
# No make here may set up the environment anew, whatever it thinks of its age.
MAKE = 'make() { command make -o any-venv "$@"; }\n'


def text(lesson: Lesson, language: str) -> str:
    """Return what a participant reads."""
    return (lesson.folder / f"{language}.md").read_text(encoding="utf-8")


def blocks(lesson: Lesson, language: str = "en") -> list[page.Block]:
    """Return the parts of a text."""
    return list(page.blocks(text(lesson, language)))


@pytest.mark.parametrize("lesson", LESSONS)
def test_both_languages_have_the_same_form(lesson: Lesson) -> None:
    """The same headings, paragraphs, lists and code, in the same order."""
    forms = [
        [(each.kind, each.info, each.text if each.kind == "code" else "") for each in found]
        for found in (blocks(lesson, language) for language in LANGUAGES)
    ]
    assert forms[0] == forms[1]


@pytest.mark.parametrize("lesson", LESSONS)
def test_both_languages_name_the_same_code(lesson: Lesson) -> None:
    """And the same checks."""
    first, second = (
        "\n".join(each.text for each in blocks(lesson, language) if each.kind != "code")
        for language in LANGUAGES
    )
    assert {*CODE.findall(first)} == {*CODE.findall(second)}
    assert {*CHECKS.findall(first)} == {*CHECKS.findall(second)}


@pytest.mark.parametrize("lesson", LESSONS)
def test_no_language_has_changed_alone(lesson: Lesson) -> None:
    """When both are changed, `python -m tests.workshop.texts` records it."""
    assert changed(lesson) == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_text_fits_the_terminal(lesson: Lesson) -> None:
    """It has a title, and a last section for after a pass; its code is not wider than a line."""
    found = blocks(lesson)
    assert [each.info for each in found if each.kind == "heading"].count("1") == 1
    assert page.sections(text(lesson, "en"))[1].startswith("## ")
    code = [line for each in found if each.kind == "code" for line in each.text.splitlines()]
    assert [line for line in code if len(line) > COLUMNS] == []


def placeholders(sentence: str) -> set[str]:
    """Return the names of the figures in a sentence, with their formats."""
    return {f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(sentence) if name}


def sentences(said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the sentences of one check in one language, each with the path to it."""
    for key, value in said.items():
        if key == "hints":
            assert len(value) == HINTS
            yield from ((f"hint {number}", each) for number, each in enumerate(value))
        elif isinstance(value, dict):
            assert {*value} == {"came", "means"}, key
            yield from ((f"{key} {part}", each) for part, each in value.items())
        else:
            yield key, value


@pytest.mark.parametrize("lesson", LESSONS)
def test_messages_are_complete(lesson: Lesson) -> None:
    """In both languages: the same sentences with the same figures, for each check and no other."""
    said = texts(lesson)
    assert [*said] == [each.id for each in checks(lesson)]
    for check, languages in said.items():
        found = [dict(sentences(languages[language])) for language in LANGUAGES]
        assert [*found[0]] == [*found[1]], check
        assert {"passed", "did", "hint 0"} <= {*found[0]}, check
        assert ("came" in found[0]) is ("means" in found[0]), check
        for key in found[0]:
            assert all(each[key].strip() for each in found)
            assert placeholders(found[0][key]) == placeholders(found[1][key]), (check, key)


def test_the_words_of_the_commands_are_complete() -> None:
    """In both languages, with the same figures."""
    for name, languages in words()["say"].items():
        assert {*languages} == {*LANGUAGES}, name
        assert len({frozenset(placeholders(each)) for each in languages.values()}) == 1, name
    for kind, languages in words()["failed"].items():
        assert {*languages} == {*LANGUAGES}, kind
        for part in ("came", "means"):
            each = {frozenset(placeholders(languages[language][part])) for language in LANGUAGES}
            assert len(each) == 1, (kind, part)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the commands of the lessons that need no nodes of etcd."""
    if metafunc.function is test_the_commands_of_a_text_do_what_it_says:
        prove(metafunc, HERE)


def test_the_commands_of_a_text_do_what_it_says(lesson: Lesson, house: Path) -> None:
    """Each is run as printed, but for the port: on the shell, or in Python.

    A block of code begins with `sh`, with `sh fails`, with `sh server` for what is ended with
    Ctrl-C at the end, or with `pycon`; others show something and are not run.
    """
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = str(holder.getsockname()[1])
    with ExitStack() as running:
        for block in blocks(lesson):
            code = block.text.replace(PORT, port)
            match block.kind, block.info.split():
                case "code", ["sh", *how]:
                    if how == ["server"]:
                        running.enter_context(server(code, house, port))
                    else:
                        done = shell(code, house)
                        output = done.stdout + done.stderr
                        assert (done.returncode != 0) is (how == ["fails"]), output
                        assert "Traceback" not in done.stderr, output
                case "code", ["pycon"]:
                    example = doctest.DocTestParser().get_doctest(code, {}, "text", None, 0)
                    doctest.DebugRunner(optionflags=doctest.ELLIPSIS).run(example)


def shell(code: str, house: Path) -> "subprocess.CompletedProcess[str]":
    """Run a block of the shell."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", MAKE + code],
        cwd=house,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@contextmanager
def server(code: str, house: Path, port: str) -> Iterator[None]:
    """Run a block of the shell that does not end by itself, until Ctrl-C."""
    log = house / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", MAKE + code],
            cwd=house,
            env={**os.environ, "WIRELAB_PORT": port, "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: LISTENING.search(log.read_text(errors="replace")), "the server listens")
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
