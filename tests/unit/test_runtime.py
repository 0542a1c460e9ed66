"""Settings from the environment, and the order in which a server starts and stops."""

import errno
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from services import runtime
from services.runtime import SettingError, Stop, one_of, port_number, setting


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """Put back the handlers that `main` replaces."""
    replaced = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in replaced}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each test begin with nothing set."""
    for name in ("WIRELAB_HOST", "WIRELAB_PORT", "WIRELAB_LOG"):
        monkeypatch.delenv(name, raising=False)


def test_a_setting_is_parsed() -> None:
    """The parser gets the variable's text, and its result is the setting."""
    assert setting("N", "1", int, {"N": "42"}) == 42


@pytest.mark.parametrize(
    "environ", [pytest.param({}, id="unset"), pytest.param({"N": ""}, id="empty")]
)
def test_unset_and_empty_mean_the_default(environ: dict[str, str]) -> None:
    """Compose passes a variable that is not set on as an empty one."""
    assert setting("N", "7", int, environ) == 7


def test_the_error_names_variable_and_value() -> None:
    """Whoever reads it knows what to change."""
    with pytest.raises(SettingError) as caught:
        setting("WIRELAB_PORT", "1", port_number, {"WIRELAB_PORT": "http"})
    assert caught.value.code == ("WIRELAB_PORT has value 'http'. Not a port number (0 to 65535)")


@pytest.mark.parametrize(("text", "port"), [("0", 0), ("1", 1), ("65535", 65535)])
def test_a_port_number_is_accepted(text: str, port: int) -> None:
    """The range is that of 16 bits, with 0 for one that the kernel picks."""
    assert port_number(text) == port


@pytest.mark.parametrize("text", ["65536", "-1", "+1", " 1", "1.0", "1_0", "0x1", "", "\u0661"])
def test_what_is_no_port_number_is_refused(text: str) -> None:
    """Only ASCII digits up to 65535 are a port."""
    with pytest.raises(ValueError, match="a port number"):
        port_number(text)


def test_a_choice_is_one_of_those_listed() -> None:
    """The error lists them."""
    assert one_of("none", "upper")("upper") == "upper"
    with pytest.raises(ValueError, match="one of 'none', 'upper'"):
        one_of("none", "upper")("UPPER")


def test_the_address_is_loopback_and_the_default_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have a variable of their own."""
    assert runtime.address(20000) == ("127.0.0.1", 20000)
    monkeypatch.setenv("WIRELAB_HOST", "0.0.0.0")
    monkeypatch.setenv("WIRELAB_PORT", "0")
    assert runtime.address(20000) == ("0.0.0.0", 0)


def test_a_bad_log_level_names_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error like that of any other setting."""
    monkeypatch.setenv("WIRELAB_LOG", "loud")
    with pytest.raises(
        SettingError, match=r"^WIRELAB_LOG has value 'loud'\. Not one of 'info', 'debug'"
    ):
        runtime.start_logging()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_ends_serve_and_the_process_with_status_0(number: signal.Signals) -> None:
    """It arrives as Stop, which no `except Exception` holds up."""
    stopped = []

    def serve(_address: runtime.Address) -> None:
        try:
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 5)
        except Exception:  # noqa: BLE001 - what a careless server does
            pytest.fail("caught")
        except Stop as stop:
            stopped.append(str(stop))
            raise

    with pytest.raises(SystemExit) as caught:
        runtime.main(serve, 1)
    assert (caught.value.code, stopped) == (0, [number.name])


def test_a_signal_that_breaks_off_nothing_ends_serve_all_the_same() -> None:
    """It came between two calls, or to another thread, and the next call waits for ever."""
    here, there = socket.socketpair()
    waited: list[str] = []

    def for_ever() -> None:
        waited.append("for ever")
        there.close()

    def tell() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    def serve(_address: runtime.Address) -> None:
        threading.Timer(0.1, tell).start()  # sooner, and it might come before the call
        here.recv(1)

    with here, there:
        ever = threading.Timer(5, for_ever)
        ever.start()
        with pytest.raises(SystemExit) as caught:
            runtime.main(serve, 1)
        ever.cancel()
    assert (caught.value.code, waited) == (0, [])


def test_a_second_signal_does_not_break_off_the_clean_up() -> None:
    """What the first one started runs to its end."""
    cleaned = []

    def serve(_address: runtime.Address) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.sigtimedwait([], 5)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            cleaned.append("up")

    with pytest.raises(SystemExit) as caught:
        runtime.main(serve, 1)
    assert (caught.value.code, cleaned) == (0, ["up"])


def test_a_port_in_use_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the address and says why."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        monkeypatch.setenv("WIRELAB_PORT", str(port))
        with pytest.raises(SystemExit) as caught:
            runtime.main(socket.create_server, 1)
    assert str(caught.value.code).startswith(f"cannot listen on 127.0.0.1:{port}: Address already")


def test_any_other_error_keeps_its_traceback() -> None:
    """A defect of a server is not hidden behind a message."""

    def serve(_address: runtime.Address) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.raises(OSError, match="Too many open files"):
        runtime.main(serve, 1)
