"""The participant's program while a check runs: a process of this machine, or an address."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from clients.addresses import Address
from lab import ROOT, LabError, processes
from lab.interrupts import put_off
from lab.workshop.client import Client, Failed, Recording
from lab.workshop.cluster import Cluster
from lab.workshop.dialogue import Dialogue
from services.connection.authkey import authkey
from services.runtime import SettingError
from services.wire.record import Protocol

PATIENCE = 1.0  # seconds that an answer may take, on a machine that has nothing else to do
PACE = 40  # times as long as an empty Python takes to start: more than PATIENCE if that is slow
START_PATIENCE = 10  # times the patience, for its start
BUSY_SECONDS = 0.3  # of processor time that a server is compared for
SPINNING = 0.25  # of the processor time that a busy loop gets beside it


class Ran(NamedTuple):
    """How a program has run to its end."""

    status: int
    output: str
    seconds: float


class Share(NamedTuple):
    """How much of a core the server had: in percent, and whether that is a loop that never waits.

    It is judged by a busy loop of ours that ran meanwhile, so that a busy machine spoils nothing.
    """

    percent: float
    spinning: bool


class Mine:
    """The participant's server, or client.

    `patience` is how many seconds an answer may take, at the pace of the machine right now.
    `command` is what starts it; without one it is elsewhere, at `address`.
    """

    def __init__(
        self,
        folder: Path,
        service: str,
        command: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        address: Address | None = None,
        nodes: Cluster | None = None,
    ) -> None:
        self.patience = patience()
        self.recordings: list[Recording] = []
        self.key_file = folder / "authkey"  # for servers that share one with their clients
        self.key_file.write_text(secrets.token_urlsafe(48) + "\n")
        self.figures: dict[str, object] = {}
        self._service = service
        self._command = command
        self._environment = {
            "WIRELAB_HOST": "127.0.0.1",
            "WIRELAB_PORT": "0",
            "WIRELAB_AUTHKEY_FILE": str(self.key_file),
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            **(environment or {}),
        }
        self._address = address
        self._nodes = nodes
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> Address:
        """Where it listens."""
        if self._address is None:
            raise LabError("the server was not started")
        return self._address

    @property
    def nodes(self) -> Cluster:
        """The nodes of etcd, for lessons that need them."""
        if self._nodes is None:
            raise LabError("the lesson has no nodes of etcd: its lesson.toml says what it needs")
        return self._nodes

    @property
    def key(self) -> bytes:
        """The key in its file: a new one, or that of WIRELAB_AUTHKEY_FILE for one elsewhere."""
        if self._command:
            return self.key_file.read_bytes().rstrip()
        try:
            return authkey()
        except SettingError as error:
            raise LabError(str(error)) from None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """Its process; only for checks that need one."""
        if self._process is None:
            raise LabError("the server was not started here")
        return self._process

    @property
    def status(self) -> int | None:
        """The exit status, or None while it runs, or if it is not ours to know."""
        if self._process is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            # It may be about to end: to write a traceback takes a moment.
            return self._process.wait(0.1 * self.patience)
        return None

    @property
    def log(self) -> str:
        """What it has written so far, or its last 64 KiB."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * 1024))
            return file.read().decode(errors="replace")

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it, and what it has started, have taken."""
        total = 0.0
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.process.pid)
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += sum(each.cpu_times()[:2])
        return total

    def start(self, **environment: str) -> None:
        """Start it and wait until it listens; Failed("not_listening") if it does not."""
        settings = {**self._environment, **environment}
        with put_off():
            self._process = processes.start(self._command, settings, self._log)
        try:
            listening = processes.listening(
                self._process, self._log, START_PATIENCE * self.patience
            )
        except LabError:
            raise Failed("not_listening", status=self.status) from None
        host = "127.0.0.1" if listening.host == "0.0.0.0" else listening.host
        self._address = Address("::1" if host == "::" else host, listening.port)

    def terminate(self) -> None:
        """Send SIGTERM to its process."""
        self.process.terminate()

    def ended(self, seconds: float) -> float | None:
        """Return after how many seconds it has ended, or None if it runs on for longer."""
        began = time.monotonic()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            return time.monotonic() - began
        return None

    def kill(self) -> None:
        """End it and all that it has started, if it is ours."""
        if self._process:
            kill(self._process)

    def restart(self) -> None:
        """Kill it, and start it again on the same port."""
        self.kill()
        self.start(WIRELAB_PORT=str(self.address.port))

    @contextmanager
    def again(self, **environment: str) -> Iterator["Mine"]:
        """Start the same program once more, beside the first; Failed if it does not listen."""
        with tempfile.TemporaryDirectory(prefix="wirelab-") as folder:
            second = Mine(Path(folder), self._service, self._command, self._environment)
            try:
                second.start(**environment)
                yield second
            finally:
                second.kill()

    def run(self, *arguments: str, seconds: float | None = None, **environment: str) -> Ran:
        """Run it to its end, for lessons that are about a client; Failed("not_ended") if it waits.

        It gets `seconds`, by default 10 times the patience.
        """
        limit = seconds or 10 * self.patience
        began = time.monotonic()
        settings = {**self._environment, **environment}
        self._process = processes.start([*self._command, *arguments], settings, self._log)
        try:
            status = self._process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failed("not_ended", seconds=limit, output=self.log) from None
        return Ran(status, self.log, time.monotonic() - began)

    @contextmanager
    def asked(self, **environment: str) -> Iterator[Dialogue]:
        """Run it for as long as it is asked, for lessons about a client that reads its input.

        What it writes on standard error is in the log.
        """
        settings = {**os.environ, "PYTHONUNBUFFERED": "1", **self._environment, **environment}
        with self._log.open("ab") as errors, put_off():
            process = self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=settings, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        try:
            yield Dialogue(process)
        finally:
            kill(process)
            for stream in filter(None, (process.stdin, process.stdout)):
                with suppress(BrokenPipeError):  # a line that it has not read
                    stream.close()

    @contextmanager
    def ours(self, *command: str, **environment: str) -> Iterator[Address]:
        """Run one of the lab's own servers beside it, such as `python -m services.kv.single`.

        It listens on a free port of loopback, which is lent.
        """
        log = self._log.with_name(f"ours-{command[-1].replace('/', '-')}.log")
        settings = {"WIRELAB_HOST": "127.0.0.1", "WIRELAB_PORT": "0", **environment}
        process = processes.start(command, settings, log)
        try:
            address = processes.listening(process, log)
            if command[0] == "gunicorn":  # which says so before it has a worker
                service = Path(command[-1]).parent.name.replace("_", "-")
                processes.wait_healthy(service, address, START_PATIENCE * self.patience)
            yield address
        finally:
            kill(process)

    def measured(self, **figures: object) -> None:
        """Give figures to the sentences about this check, whether it passes or fails then."""
        self.figures |= figures

    def record(self, protocol: Protocol = "tcp") -> Recording:
        """Return a new recording, for a picture of what another client than ours does."""
        self.recordings.append(Recording(len(self.recordings) + 1, self._service, protocol))
        return self.recordings[-1]

    def connect(self, *, narrow: bool = False) -> Client:
        """Connect a client; Failed if that is refused, or takes too long."""
        return Client(self.address, self.patience, self.record(), narrow=narrow)

    def last_to_first(self, count: int, ask: Callable[[Client], float]) -> list[float]:
        """Open `count` connections, and have each ask as it comes; then again, the last one first.

        All are open until the end: so who serves a few only, or one after the other, is found out.
        Return the seconds of the second round. Failed has the `number` of the client (from 1) and
        that of `all` beside its own figures.
        """
        seconds: list[float] = []
        number = 0
        with ExitStack() as opened:
            try:
                clients: list[Client] = []
                for number in range(1, count + 1):  # noqa: B007
                    clients.append(opened.enter_context(self.connect()))
                    ask(clients[-1])
                for number, client in reversed(list(enumerate(clients, 1))):  # noqa: B007
                    seconds.append(ask(client))
            except Failed as failure:
                raise Failed(failure.kind, **failure.figures, number=number, all=count) from None
        return seconds

    def queue(self, count: int) -> int:
        """Stop its process for a moment; return how many of `count` clients are connected then.

        It accepts none then, so they are in the accept queue; the kernel drops the SYN of those for
        whom there is no place. They come one by one: of several SYNs that the kernel handles before
        the ACKs of their handshakes, all would be answered.
        """
        with ExitStack() as opened:
            opened.callback(os.killpg, self.process.pid, signal.SIGCONT)
            os.killpg(self.process.pid, signal.SIGSTOP)
            process = psutil.Process(self.process.pid)
            while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                time.sleep(0.001)
            for connected in range(count):
                client = opened.enter_context(socket.socket(family(self.address)))
                client.settimeout(0.3 * self.patience)
                try:
                    client.connect(self.address)
                except (TimeoutError, ConnectionRefusedError):
                    return connected
        return count

    def serves(self, data: bytes, wanted: bytes) -> bool:
        """Whether one more client has its answer."""
        try:
            with self.connect() as client:
                client.ask(data, wanted)
        except Failed:
            return False
        return True

    def share(self, seconds: float = BUSY_SECONDS) -> Share:
        """Return how much of a core it has while this process takes `seconds` of one."""
        began, before, own = time.monotonic(), self.cpu, time.process_time()
        while time.process_time() - own < seconds:
            pass
        took = self.cpu - before
        had = time.process_time() - own
        return Share(min(100, 100 * took / (time.monotonic() - began)), took > SPINNING * had)


def family(address: Address) -> socket.AddressFamily:
    """Return the family of an address of this machine."""
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process, and its session: what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def patience() -> float:
    """Return for how many seconds to wait for an answer, at the pace of this machine right now."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True)
    return max(PATIENCE, PACE * (time.monotonic() - began))
