"""The servers of compose.yaml as processes on this machine, for where there is no engine.

Each gets its command, environment and port from there. What an engine would mount is a folder or
file here: in the environment, a path that begins with a mount's target is changed to that.
"""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from clients import health
from clients.addresses import Address
from scripts import authkey, processes
from scripts.stack import ROOT, LabError, Service, project

HEALTHY_SECONDS = 20.0


class Local:
    """The lab's servers without an engine; what runs is remembered in a folder of the project."""

    def __init__(self) -> None:
        self.folder = ROOT / ".wirelab" / project()
        self._state = self.folder / "running.json"

    def running(self) -> dict[str, int]:
        """Return the process id of each server that runs."""
        if not self._state.exists():
            return {}
        state = json.loads(self._state.read_text())["servers"]
        return {name: entry["pid"] for name, entry in state.items() if is_that(entry)}

    def addresses(self) -> dict[str, Address]:
        """Return where each server listens."""
        state = json.loads(self._state.read_text())["servers"]
        return {name: Address(*entry["address"]) for name, entry in state.items()}

    def environment(self) -> dict[str, str]:
        """Return what the clients need besides the addresses: the key and the UNIX socket."""
        environment: dict[str, str] = json.loads(self._state.read_text())["environment"]
        return environment

    def log(self, service: str) -> Path:
        """Return the file that a server logs to."""
        return self.folder / f"{service}.log"

    def up(self, services: list[Service]) -> None:
        """Start the servers that do not run, and wait until each answers its health check."""
        self.folder.mkdir(parents=True, exist_ok=True)
        mounts = {"/run/secrets/authkey": str(authkey.path())}
        state: dict[str, Any] = {"servers": {}, "environment": {}, "mounts": mounts}
        os.environ["WIRELAB_AUTHKEY_FILE"] = str(authkey.path())
        if self.running():
            state = json.loads(self._state.read_text())
        started = []
        try:
            for service in services:
                if service.name in self.running():
                    continue
                environment = self._environment(service, state["mounts"])
                log = self.log(service.name)
                process = processes.start(service.command, environment, log)
                started.append(process)
                address = processes.listening(process, log)
                state["servers"][service.name] = {
                    "pid": process.pid,
                    "started": psutil.Process(process.pid).create_time(),
                    "address": address,
                }
                for name in ("WIRELAB_AUTHKEY_FILE", "WIRELAB_UNIX_SOCKET"):
                    if name in environment:
                        state["environment"][name] = environment[name]
                self._state.write_text(json.dumps(state, indent=2))
                wait_healthy(service.name, address)
        except BaseException:
            processes.stop([process.pid for process in started])
            raise

    def down(self) -> list[str]:
        """Stop the servers, and return the names of those that ran."""
        running = self.running()
        processes.stop(list(running.values()))
        if self._state.exists():
            for folder in json.loads(self._state.read_text())["mounts"].values():
                if folder.startswith(tempfile.gettempdir()):
                    shutil.rmtree(folder, ignore_errors=True)
            self._state.unlink()
        return list(running)

    def _environment(self, service: Service, mounts: dict[str, str]) -> dict[str, str]:
        """Return a server's environment, with the folders that it wants made."""
        for volume, target in service.volumes.items():
            if target in mounts:
                continue
            if volume in service.ephemeral:
                # Sockets: a UNIX socket's path has 107 characters at most, a clone's may be long.
                mounts[target] = tempfile.mkdtemp(prefix="wirelab-")
            else:
                mounts[target] = str(self.folder / "volumes" / volume)
                Path(mounts[target]).mkdir(parents=True, exist_ok=True)
        environment = {
            "WIRELAB_HOST": service.port.host,
            "WIRELAB_PORT": str(service.port.published),
        }
        for name, value in service.environment.items():
            target = next((target for target in mounts if value.startswith(target)), "")
            environment[name] = mounts[target] + value.removeprefix(target) if target else value
        return environment


def is_that(entry: dict[str, float]) -> bool:
    """Whether the process is still the one remembered: ids are used again."""
    try:
        process = psutil.Process(int(entry["pid"]))
        # Linux counts in hundredths of a second since the start of the machine.
        return abs(process.create_time() - entry["started"]) < 0.1 and (
            process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False


def wait_healthy(service: str, address: Address) -> None:
    """Wait until a server answers its health check; raises LabError when it does not."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while problem := health.problem(service, address):
        if time.monotonic() > deadline:
            raise LabError(f"{service} does not get healthy: {problem}")
        time.sleep(0.1)
