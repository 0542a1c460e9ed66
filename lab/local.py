"""The servers of compose.yaml as processes on this machine, for where there is no engine.

Each gets its command, environment and ports from there. What an engine would mount is a folder or
file here: in the environment, a path that begins with a mount's target is changed to that.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from clients.addresses import DISCOVERY, Address, variables
from lab import ROOT, LabError, authkey, files, interrupts, processes
from lab.description import Service, clients_environment, own, project, through_relay
from services.addresses import split

HEALTHY_SECONDS = 20.0
UPSTREAMS = "WIRELAB_RELAY_UPSTREAMS"  # of the relay: where it may lead to
PASSES = re.compile(r"(\S+) passes from (\S+) to ")  # what it logs of each of its proxies
ENTRY: dict[str, Any] = {"pid": 0, "started": 0.0, "ports": {}, "made_of": []}  # of a server
MARK = "WIRELAB_PROJECT"  # in the environment of each server: the name of its lab


class Local:
    """The lab's servers without an engine; what runs is remembered in a folder of the project."""

    def __init__(self) -> None:
        self.folder = ROOT / ".wirelab" / project()
        self._file = self.folder / "running.json"
        self._state: dict[str, Any] = {"servers": {}, "mounts": {}, "temporary": []}
        # One that is damaged, or of another version, says nothing: what runs is found by its mark.
        with suppress(FileNotFoundError, ValueError, TypeError, LookupError, AttributeError):
            found = json.loads(self._file.read_bytes())
            parts = [(found, self._state), *((entry, ENTRY) for entry in found["servers"].values())]
            if all(
                isinstance(part.get(name), type(like))
                for part, model in parts
                for name, like in model.items()
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
        """Return where each port of the servers that run listens, by its setting."""
        return {
            setting: Address(*where)
            for name in self.running()
            for setting, where in self._state["servers"][name]["ports"].items()
        }

    def with_old_key(self) -> list[str]:
        """Return the names of the servers that run with another key than the file has now."""
        servers = self._state["servers"]
        key = authkey.digest(authkey.path())
        return [name for name in self.running() if servers[name].get("key") not in (None, "", key)]

    def reachable(self) -> dict[str, Address]:
        """Return where clients reach each port, also of servers that have ended."""
        return {
            setting: Address("127.0.0.1" if host == "0.0.0.0" else host, port)
            for entry in self._state["servers"].values()
            for setting, (host, port) in entry["ports"].items()
        }

    def addresses(self) -> dict[str, Address]:
        """Return where clients reach each server."""
        return own(self.reachable())

    def relayed(self) -> dict[str, Address]:
        """Return where clients reach each service through the relay."""
        return through_relay(self.reachable())

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
        try:
            self._stop_changed(services)  # all of them: one may be to get the port of another
            for stage in stages(services):
                self._stop_changed(stage)  # also if another server listens elsewhere now
                self._start(stage, started, say)
        except BaseException:
            with interrupts.finishing():
                processes.stop(started)
            raise

    def _start(
        self, services: list[Service], started: list[int], say: Callable[[str], None]
    ) -> None:
        """Start those of the servers that do not run, and append their processes to `started`."""
        for service in services:
            say(service.name)
            if service.name in self.running():
                continue
            entry = self._entry(service)
            log = self.log(service.name)
            with interrupts.finishing():  # or there would be one that nobody knows
                process = processes.start(
                    service.command, {**entry["environment"], MARK: project()}, log
                )
                started.append(process.pid)
                entry["pid"] = process.pid
                entry["started"] = psutil.Process(process.pid).create_time()
                entry["ports"] = {}
                self._state["servers"][service.name] = entry
                self._save()
            try:
                address = processes.listening(process, log)
            except LabError as error:
                raise LabError(f"{service.name}: {error}") from None
            # Each proxy of the relay listens before the relay itself does.
            proxies = dict(PASSES.findall(log.read_text()))
            entry["ports"] = {service.port.setting: address} | {
                port.setting: Address(*split(proxies[port.speaks]))
                for port in service.ports[1:]
                if port.speaks in proxies
            }
            self._save()
            try:
                processes.wait_healthy(service.speaks, address, HEALTHY_SECONDS)
            except LabError as error:
                raise LabError(f"{service.name} does not get healthy: {error}") from None

    def _stop_changed(self, services: list[Service]) -> None:
        """Stop the servers that are made of something else than is wanted now."""
        running = self.running()
        made = {name: self._state["servers"][name]["made_of"] for name in running}
        changed = [
            each.name
            for each in services
            if each.name in made and made[each.name] != self._entry(each)["made_of"]
        ]
        processes.stop([running[name] for name in changed])

    def _entry(self, service: Service) -> dict[str, Any]:
        """Return what a server is to be started with."""
        newest = max(
            file.stat().st_mtime
            for file in (ROOT / "services").rglob("*.*")  # templates and styles too
            if file.suffix != ".pyc"
        )
        environment = self._environment(service)
        own_key = authkey.digest(authkey.path()) if "WIRELAB_AUTHKEY_FILE" in environment else ""
        return {
            "environment": environment,
            "key": own_key,
            "made_of": [service.command, environment, own_key, newest],
        }

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
        for port in service.ports[1:]:
            environment[port.setting] = str(port.published)
            environment[port.setting.replace("_PORT", "_HOST")] = port.host
        given = {name: self._here(value) for name, value in service.environment.items()}
        if given.pop(DISCOVERY, ""):  # here a name is no host
            others = {name: at for name, at in self.addresses().items() if name != service.name}
            given |= variables(others, self.relayed())
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


def stages(services: list[Service]) -> list[list[Service]]:
    """Return servers in the order in which they are started.

    The relay is told where the others listen, and who finds them by their names where the relay
    does, so those are there before.
    """
    relays = [service for service in services if UPSTREAMS in service.environment]
    finding = [service for service in services if DISCOVERY in service.environment]
    others = [service for service in services if service not in relays + finding]
    return [others, relays, finding]


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
