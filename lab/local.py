"""The servers of compose.yaml as processes on this machine, for where there is no engine.

Each gets its command, environment and port from there. What an engine would mount is a folder or
file here: in the environment, a path that begins with a mount's target is changed to that.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from clients import health
from clients.addresses import PORTS, RELAY, Address, variables
from clients.relay import Relay, RelayError
from lab import ROOT, LabError, authkey, files, interrupts, processes
from lab.description import Service, clients_environment, project
from services import addresses

HEALTHY_SECONDS = 20.0
UPSTREAMS = "WIRELAB_RELAY_UPSTREAMS"  # of the relay: where it may lead to
MARK = "WIRELAB_PROJECT"  # in the environment of each server: the name of its lab


class Local:
    """The lab's servers without an engine; what runs is remembered in a folder of the project."""

    def __init__(self) -> None:
        self.folder = ROOT / ".wirelab" / project()
        self._file = self.folder / "running.json"
        self._state: dict[str, Any] = {"servers": {}, "mounts": {}, "temporary": []}
        # One that is damaged says nothing: what runs is still found, by its mark.
        with suppress(FileNotFoundError, ValueError):
            found = json.loads(self._file.read_bytes())
            if isinstance(found, dict) and all(
                isinstance(found.get(name), type(empty)) for name, empty in self._state.items()
            ):
                self._state = found

    def running(self) -> dict[str, int]:
        """Return the process id of each server that runs."""
        servers = self._state["servers"]
        return {name: entry["pid"] for name, entry in servers.items() if is_that(entry)}

    def strays(self) -> list[int]:
        """Return the ids of servers of this lab that its file does not know.

        Their folder is this one, or is gone: a clone was deleted while they ran, or the file was.
        """
        known = self.running().values()
        return [
            process.pid
            for process in psutil.process_iter()
            if process.pid not in known and is_stray(process, project())
        ]

    def stop_strays(self) -> list[int]:
        """Stop them, and return their ids."""
        strays = self.strays()
        processes.stop(strays)
        return strays

    def bindings(self) -> dict[str, Address]:
        """Return where each server that runs has been told to listen, with the port that it got."""
        return {
            name: Address(
                self._state["servers"][name]["environment"]["WIRELAB_HOST"],
                self._state["servers"][name]["address"][1],
            )
            for name in self.running()
            if self._state["servers"][name]["address"]
        }

    def with_old_key(self) -> list[str]:
        """Return the names of the servers that run with another key than the file has now."""
        servers = self._state["servers"]
        key = authkey.digest(authkey.path())
        return [name for name in self.running() if servers[name].get("key") not in (None, "", key)]

    def addresses(self) -> dict[str, Address]:
        """Return where each server listens."""
        servers = self._state["servers"]
        return {
            name: Address(*entry["address"]) for name, entry in servers.items() if entry["address"]
        }

    def relayed(self) -> dict[str, Address]:
        """Return where each service is reached through the relay, which says so itself."""
        where = self.addresses().get(RELAY)
        try:
            proxies = Relay(where).proxies() if where else {}
        except (OSError, RelayError):
            return {}
        return {
            name: Address(*addresses.split(proxy["listen"]))
            for name, proxy in proxies.items()
            if name in PORTS and proxy["enabled"]
        }

    def environment(self) -> dict[str, str]:
        """Return what clients are told: where each server is, and compose.yaml's paths as here."""
        told = clients_environment().items()
        paths = {name: self._here(value) for name, value in told if value.startswith("/")}
        return paths | variables(self.addresses(), self.relayed())

    def run_clients(self, *arguments: str) -> int:
        """Run the clients against the servers that run here; return their exit status."""
        command = [sys.executable, "-m", "clients", *arguments]
        environment = {**os.environ, **self.environment()}
        return interrupts.run(command, cwd=ROOT, env=environment).returncode

    def log(self, service: str) -> Path:
        """Return the file that a server logs to."""
        return self.folder / f"{service}.log"

    def up(self, services: list[Service], say: Callable[[str], None]) -> None:
        """Start the servers that do not run, or run as they no longer should; wait for health.

        `say` is told how far that is. Those that run as they no longer should are stopped first:
        their ports may be wanted by others. Where one does not get healthy, those that were started
        are stopped again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._state["mounts"]["/run/secrets/authkey"] = str(authkey.path())
        os.environ["WIRELAB_AUTHKEY_FILE"] = str(authkey.path())
        started: list[int] = []
        # The relay is told where the others listen, so they are there before it is.
        last = [service for service in services if UPSTREAMS in service.environment]
        first = [service for service in services if service not in last]
        try:
            self._start(first, started, say)
            self._start(last, started, say)
        except BaseException:
            with interrupts.finishing():
                processes.stop(started)
            raise

    def _start(
        self, services: list[Service], started: list[int], say: Callable[[str], None]
    ) -> None:
        """Start some of the servers, and append their processes to `started`."""
        newest = max(file.stat().st_mtime for file in (ROOT / "services").rglob("*.py"))
        key = authkey.digest(authkey.path())
        wanted: dict[str, dict[str, Any]] = {}
        for service in services:
            environment = self._environment(service)
            own_key = key if "WIRELAB_AUTHKEY_FILE" in environment else ""
            wanted[service.name] = {
                "environment": environment,
                "key": own_key,
                "made_of": [service.command, environment, own_key, newest],
            }
        self._stop_changed(wanted)
        for service in services:
            say(service.name)
            if service.name in self.running():
                continue
            entry = wanted[service.name]
            log = self.log(service.name)
            with interrupts.finishing():  # or there would be one that nobody knows
                process = processes.start(
                    service.command, {**entry["environment"], MARK: project()}, log
                )
                started.append(process.pid)
                entry["pid"] = process.pid
                entry["started"] = psutil.Process(process.pid).create_time()
                entry["address"] = None
                self._state["servers"][service.name] = entry
                self._save()
            try:
                address = processes.listening(process, log)
            except LabError as error:
                raise LabError(f"{service.name}: {error}") from None
            entry["address"] = address._replace(
                host="127.0.0.1" if address.host == "0.0.0.0" else address.host
            )
            self._save()
            wait_healthy(service, address)

    def _stop_changed(self, wanted: dict[str, dict[str, Any]]) -> None:
        """Stop the servers that are made of something else than is wanted now."""
        made = {name: self._state["servers"][name]["made_of"] for name in self.running()}
        changed = [
            name for name in wanted if name in made and made[name] != wanted[name]["made_of"]
        ]
        processes.stop([self.running()[name] for name in changed])

    def down(self) -> list[str]:
        """Stop the servers, and return the names of those that ran."""
        running = self.running()
        processes.stop([*running.values()])
        for folder in self._state["temporary"]:
            shutil.rmtree(folder, ignore_errors=True)
        self._file.unlink(missing_ok=True)
        return list(running)

    def _save(self) -> None:
        files.write(self._file, json.dumps(self._state, indent=2))

    def _environment(self, service: Service) -> dict[str, str]:
        """Return a server's environment, with the folders that it wants made."""
        mounts: dict[str, str] = self._state["mounts"]
        for volume, target in service.volumes.items():
            if volume in service.ephemeral:
                if target in mounts and Path(mounts[target]).is_dir():
                    continue
                # Sockets: a UNIX socket's path has 107 characters at most, a clone's may be long.
                mounts[target] = tempfile.mkdtemp(prefix="wirelab-")
                self._state["temporary"].append(mounts[target])
            else:  # each time anew: the folder may have been renamed
                mounts[target] = str(self.folder / "volumes" / volume)
                Path(mounts[target]).mkdir(parents=True, exist_ok=True)
        environment = {
            "WIRELAB_HOST": service.port.host,
            "WIRELAB_PORT": str(service.port.published),
        }
        given = {name: self._here(value) for name, value in service.environment.items()}
        if upstreams := given.get(UPSTREAMS):
            # `name=name:port` of the containers' network; here a server is where it listens.
            names = [word.partition("=")[0] for word in upstreams.split() if "=" in word]
            here = self.addresses()
            places = [f"{name}={here[name]}" for name in names if name in here]
            given[UPSTREAMS] = " ".join(places)
        return environment | given

    def _here(self, value: str) -> str:
        """Return `value`; of a path that begins with a mount's target, what it is here."""
        mounts: dict[str, str] = self._state["mounts"]
        target = next((target for target in mounts if value.startswith(target)), "")
        return mounts[target] + value.removeprefix(target) if target else value


def is_that(entry: dict[str, Any]) -> bool:
    """Whether the process is still the one remembered: ids are used again."""
    try:
        process = psutil.Process(int(entry["pid"]))
        # Linux counts in hundredths of a second since the start of the machine.
        return abs(process.create_time() - entry["started"]) < 0.1 and (
            process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False


def is_stray(process: psutil.Process, lab: str) -> bool:
    """Whether a process is a server of the lab, of this folder or of one that is gone."""
    try:
        if os.getsid(process.pid) != process.pid or process.environ().get(MARK) != lab:
            return False
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        folder = Path(process.cwd())
    except (psutil.Error, OSError):  # it has just ended, or is another user's
        return False
    return folder == ROOT or not folder.is_dir()


def wait_healthy(service: Service, address: Address) -> None:
    """Wait until a server answers its health check; raises LabError when it does not."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while problem := health.problem(service.speaks, address):
        if time.monotonic() > deadline:
            raise LabError(f"{service.name} does not get healthy: {problem}")
        time.sleep(0.1)
