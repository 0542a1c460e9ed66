"""Settings from the environment, and the order in which a server starts and stops."""

import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from lab import ROOT, processes
from services import runtime
from services.runtime import SettingError, one_of, port_number, setting
from tests.support.pace import until


@pytest.fixture(autouse=True)
def _signal_mask() -> Iterator[None]:
    """Put back the mask that `main` changes."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


@pytest.mark.parametrize("new", runtime.OLD_NAMES)
def test_an_old_name_of_a_setting_is_an_error_that_names_the_new_one(new: str) -> None:
    """Whoever has set it would else find it ignored."""
    old = runtime.OLD_NAMES[new]
    with pytest.raises(SettingError) as caught:
        setting(new, "1", runtime.positive, {old: "5"})
    assert caught.value.code == f"{old} is not a setting any more. Set {new} instead"


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


def test_a_line_of_the_log_is_what_logging_itself_would_make_it() -> None:
    """Whether an earlier line was of the same second or not, and with a traceback."""
    form = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    known = {"name": "rest", "levelname": "INFO", "msg": "%s from %s", "args": ("GET", "::1")}
    try:
        raise KeyError("spam")
    except KeyError:
        failure = sys.exc_info()
    for created in (1.0, 1.25, 1.999, 2.0, 1_700_000_000.5):
        for exc_info in (None, failure):
            times = {"created": created, "msecs": 1000 * (created % 1), "exc_info": exc_info}
            expected = logging.Formatter(form).format(logging.makeLogRecord({**known, **times}))
            line = runtime.Formatter().format(logging.makeLogRecord({**known, **times}))
            assert line == expected


SERVE = """
import os, signal, socket, sys, threading, time
from services import runtime

def tell(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)

def serve(address):
{body}

runtime.main(serve, 1)
"""


def served(body: str) -> "subprocess.CompletedProcess[str]":
    """Run a server that does what `body` says, which is to stop by itself."""
    return subprocess.run(
        [sys.executable, "-c", SERVE.format(body=textwrap.indent(textwrap.dedent(body), "    "))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_ends_the_process_with_status_0(number: signal.Signals) -> None:
    """Whatever `serve` waits for, and however careless its `except` is."""
    done = served(f"""
        here, there = socket.socketpair()
        while True:
            try:
                tell({int(number)})
                here.recv(1)
            except BaseException:
                pass
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"stopped by {number.name}\n")


def test_a_signal_that_interrupts_nothing_ends_the_process_all_the_same() -> None:
    """It comes while the server waits in the kernel, for ever."""
    done = served("""
        here, there = socket.socketpair()
        threading.Timer(0.1, tell, [signal.SIGTERM]).start()
        here.recv(1)
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_server_has_to_undo_is_undone_once() -> None:
    """Also when more signals come while that is done."""
    done = served("""
        def undo():
            tell(signal.SIGTERM, signal.SIGINT)
            time.sleep(0.1)
            print("undone", flush=True)

        runtime.at_exit.callback(undo)
        tell(signal.SIGTERM)
        signal.sigtimedwait([], 5)
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("undone") == 1
    assert done.stdout.count("stopped by") == 1


def test_a_log_that_nobody_reads_does_not_hold_up_the_stop() -> None:
    """The pipe is full, and to write to it is to wait."""
    done = served("""
        out, into = os.pipe()
        os.dup2(into, 1)
        os.set_blocking(into, False)
        with open(into, "wb", buffering=0, closefd=False) as pipe:
            while pipe.write(bytes(4096)):
                pass
        os.set_blocking(into, True)
        tell(signal.SIGTERM)
        signal.sigtimedwait([], 5)
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_child_ends_by_a_signal_as_any_process_does() -> None:
    """The thread that waits for signals is the parent's alone."""
    done = served("""
        if not (child := os.fork()):
            signal.sigtimedwait([], 5)
            os._exit(1)
        time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        print("status", os.waitpid(child, 0)[1], flush=True)
        tell(signal.SIGTERM)
        signal.sigtimedwait([], 5)
    """)
    assert f"status {int(signal.SIGTERM)}\n" in done.stdout


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_a_child_ends_with_its_parent(how: signal.Signals) -> None:
    """However that ends: it would keep the port in use, or serve on."""
    done = served(f"""
        if not (child := os.fork()):
            os.closerange(0, 3)  # whoever reads what this prints need not wait for the child
            time.sleep(30)
            os._exit(1)
        time.sleep(0.1)
        print("child", child, flush=True)
        os.kill(os.getpid(), {int(how)})
        signal.sigtimedwait([], 5)
    """)
    child = int(done.stdout.split("child ")[1].split()[0])
    until(lambda: not processes.alive(child), "the child ends")


def test_a_port_in_use_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the address and says why."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        monkeypatch.setenv("WIRELAB_PORT", str(port))
        with pytest.raises(SystemExit) as caught:
            runtime.main(socket.create_server, 1)
    assert str(caught.value.code).startswith(f"cannot listen on 127.0.0.1:{port}: Address already")
    assert str(caught.value.code).endswith("(WIRELAB_PORT)")


def test_any_other_error_keeps_its_traceback() -> None:
    """A defect of a server is not hidden behind a message."""

    def serve(_address: runtime.Address) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.raises(OSError, match="Too many open files"):
        runtime.main(serve, 1)
