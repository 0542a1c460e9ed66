"""The pictures of the README: drawn from compose.yaml, complete, and self-contained."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from clients.addresses import Address
from clients.cli import exercise, report
from clients.cli.exercise import Result
from lab import pictures
from lab.description import Service, services

SVG = "{http://www.w3.org/2000/svg}"
SERVERS = [pytest.param(service, id=service.name) for service in services(environ={})]
NAMED = re.compile(r"https?://|url\([^#]|href|@import|@font-face|<script|<image")


def words(picture: str) -> list[str]:
    """Return the texts in a picture, which must be well-formed XML."""
    root = ElementTree.fromstring(picture)  # noqa: S314 - we drew it
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def outside(picture: str) -> list[str]:
    """Return what a picture refers to outside itself."""
    return NAMED.findall(picture.replace('xmlns="http://www.w3.org/2000/svg"', ""))


def result(what: str = "a check", error: str = "") -> Result:
    """Return what came of a check."""
    return Result("rest", Address("rest", 8080), what, error, 0.0123)


@pytest.mark.parametrize("service", SERVERS)
def test_the_stack_shows_each_server(service: Service) -> None:
    """Name, command, and the ports on the host and in the network are those of compose.yaml."""
    shown = words(pictures.stack_picture())
    assert {service.name, " ".join(service.command)} <= set(shown)
    for port in service.ports:
        assert {str(port), f"{port.target}/{port.protocol}"} <= set(shown)
    leads = [f"passes on to {port.speaks}" for port in service.ports[1:]]
    assert [each for each in shown if each in leads] == leads


def test_the_rows_of_the_stack_do_not_overlap() -> None:
    """Each server is below the one before, and the picture as high as all of them."""
    root = ElementTree.fromstring(pictures.stack_picture())  # noqa: S314 - we drew it
    height = float(root.attrib["viewBox"].split()[3])
    boxes = [rect.attrib for rect in root.iter(f"{SVG}rect") if rect.attrib["class"] == "box"]
    for x in (pictures.PORTS, pictures.SERVERS, pictures.CLIENT):
        column = [(float(b["y"]), float(b["height"])) for b in boxes if float(b["x"]) == x]
        ends = [y + high for y, high in column]
        starts = [y for y, _ in column[1:]]
        assert all(end < start for end, start in zip(ends, [*starts, height], strict=True))


def test_the_stack_shows_clients_volumes_and_secrets() -> None:
    """What is beside the servers is there too, each as often as it is used."""
    shown = words(pictures.stack_picture())
    assert "clients" in shown
    assert shown.count("volume kv") == 1
    assert shown.count("volume sockets") == 2
    assert shown.count("secret authkey") == 4


def test_the_stack_is_the_same_whatever_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of this machine are not drawn."""
    before = pictures.stack_picture()
    monkeypatch.setenv("WIRELAB_REST_PORT", "18080")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "another")
    assert pictures.stack_picture() == before


def test_the_committed_stack_is_that_of_compose_yaml() -> None:
    """After a change of compose.yaml, `make pictures` has been run."""
    assert pictures.STACK.read_text() == pictures.stack_picture()


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.name) for path in (pictures.STACK, pictures.CLIENTS)]
)
def test_committed_pictures_refer_to_nothing_outside(path: Path) -> None:
    """They look the same offline and behind any proxy."""
    picture = path.read_text()
    assert words(picture)
    assert outside(picture) == []


def test_the_committed_table_shows_every_check_there_is() -> None:
    """After a change of the checks, `make pictures` has been run."""
    shown = " ".join(" ".join(words(pictures.CLIENTS.read_text())).split())
    checks = exercise.every()
    assert [check.what for _, check in checks if check.what not in shown] == []
    assert f"{len(checks)} of {len(checks)} checks held" in shown


def test_the_table_shows_every_check() -> None:
    """The picture of the clients' table has each check, its result and the sum."""
    picture = report.svg_of([result("<one> & [two]"), result("three", error="no [/] answer")])
    shown = " ".join(" ".join(words(picture)).split())
    assert "<one> & [two]" in shown
    assert "✗ no [/] answer" in shown
    assert "1 of 2 checks held" in shown
    assert outside(picture) == []
