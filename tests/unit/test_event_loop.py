"""Which event loop the asyncio servers run on, and what it reports."""

import asyncio
import sys
from types import SimpleNamespace

import pytest

from services import event_loop
from services.runtime import SettingError
from tests.support.processes import refuses_to_start

COROUTINES = ["python", "-m", "services.tcp_echo.coroutines"]


class OtherLoop(asyncio.SelectorEventLoop):
    """An event loop that can be told from asyncio's own."""


def loop_that_ran() -> type[asyncio.AbstractEventLoop]:
    """Return the type of the event loop that run() uses."""
    found: list[type[asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        found.append(type(asyncio.get_running_loop()))

    event_loop.run(serve())
    return found[0]


def test_by_default_it_is_the_loop_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where uvloop is installed."""
    monkeypatch.delenv("WIRELAB_EVENT_LOOP", raising=False)
    monkeypatch.setitem(sys.modules, "uvloop", SimpleNamespace(new_event_loop=OtherLoop))
    assert loop_that_ran() is asyncio.SelectorEventLoop


def test_uvloop_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is what the package of that name creates."""
    monkeypatch.setenv("WIRELAB_EVENT_LOOP", "uvloop")
    monkeypatch.setitem(sys.modules, "uvloop", SimpleNamespace(new_event_loop=OtherLoop))
    assert loop_that_ran() is OtherLoop


def test_a_missing_uvloop_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setenv("WIRELAB_EVENT_LOOP", "uvloop")
    monkeypatch.setitem(sys.modules, "uvloop", None)  # which makes its import fail
    with pytest.raises(SettingError) as caught:
        event_loop.loop_factory()
    assert str(caught.value) == (
        "WIRELAB_EVENT_LOOP has value 'uvloop'. Not installed: pip install uvloop"
    )


def test_an_unknown_event_loop_is_one_line() -> None:
    """It names the variable and the value, and the server does not start."""
    line = refuses_to_start(COROUTINES, WIRELAB_EVENT_LOOP="tornado")
    assert line == "WIRELAB_EVENT_LOOP has value 'tornado'. Not one of 'asyncio', 'uvloop'"


def test_what_the_loop_reports_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Such as a failed accept; asyncio's own handler logs a traceback."""

    async def serve() -> None:
        error = OSError(24, "Too many open files")
        context = {"message": "socket.accept() out of system resource", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)

    event_loop.run(serve())
    (record,) = caplog.records
    assert record.getMessage() == (
        "socket.accept() out of system resource: [Errno 24] Too many open files"
    )
    assert record.exc_info is None


def test_the_same_report_is_logged_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """Without a descriptor there is one for each of 64 accepts."""
    for text, second in (("same", 1), ("same", 1), ("same", 2), ("other", 2)):
        event_loop.warn(text, second)
    assert caplog.messages == ["same", "same", "other"]
