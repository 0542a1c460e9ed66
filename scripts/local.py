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
from scripts.stack import ROOT, LabError, Service, clients_environment, project

HEALTHY_SECONDS = 20.0


class Local:
    """The lab's servers without an engine; what runs is remembered in a folder of the project."""

    def __init__(self) -> None:
        self.folder = ROOT / ".wirelab" / project()
        self._file = self.folder / "running.json"
        self._state: dict[str, Any] = {"servers": {}, "mounts": {}, "temporary": []}
        if self._file.exists():
            self._state = json.loads(self._file.read_text())

    def running(self) -> dict[str, int]:
        """Return the process id of each server that runs."""
        servers = self._state["servers"]
        return {name: entry["pid"] for name, entry in servers.items() if is_that(entry)}

    def addresses(self) -> dict[str, Address]:
        """Return where each server listens."""
        servers = self._state["servers"]
        return {
            name: Address(*entry["address"]) for name, entry in servers.items() if entry["address"]
        }

    def environment(self) -> dict[str, str]:
        """Return what clients are told in compose.yaml, with the places here, as far as there."""
        found = {name: self._places(value) for name, value in clients_environment().items()}
        return {name: here for name, here in found.items() if here}

    def log(self, service: str) -> Path:
        """Return the file that a server logs to."""
        return self.folder / f"{service}.log"

    def up(self, services: list[Service]) -> None:
        """Start the servers that do not run, or run as they no longer should; wait for health.

        Where one does not get healthy, those that were started are stopped again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._state["mounts"]["/run/secrets/authkey"] = str(authkey.path())
        os.environ["WIRELAB_AUTHKEY_FILE"] = str(authkey.path())
        newest = max(file.stat().st_mtime for file in (ROOT / "services").rglob("*.py"))
        started = []
        try:
            for service in services:
                environment = self._environment(service)
                made_of = [service.command, environment, newest]
                if pid := self.running().get(service.name):
                    if self._state["servers"][service.name]["made_of"] == made_of:
                        continue
                    processes.stop([pid])
                process = processes.start(service.command, environment, self.log(service.name))
                started.append(process.pid)
                entry: dict[str, Any] = {
                    "pid": process.pid,
                    "started": psutil.Process(process.pid).create_time(),
                    "address": None,
                    "environment": environment,
                    "made_of": made_of,
                }
                self._state["servers"][service.name] = entry
                self._save()
                try:
                    address = processes.listening(process, self.log(service.name))
                except LabError as error:
                    raise LabError(f"{service.name}: {error}") from None
                entry["address"] = address._replace(
                    host="127.0.0.1" if address.host == "0.0.0.0" else address.host
                )
                self._save()
                wait_healthy(service, address)
        except BaseException:
            processes.stop(started)
            raise

    def down(self) -> list[str]:
        """Stop the servers, and return the names of those that ran."""
        running = self.running()
        processes.stop(list(running.values()))
        for folder in self._state["temporary"]:
            shutil.rmtree(folder, ignore_errors=True)
        self._file.unlink(missing_ok=True)
        return list(running)

    def _save(self) -> None:
        """Write down what runs, in one piece: half a file would be of no use to `down`."""
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(self._state, indent=2))
        new.replace(self._file)

    def _environment(self, service: Service) -> dict[str, str]:
        """Return a server's environment, with the folders that it wants made."""
        mounts: dict[str, str] = self._state["mounts"]
        for volume, target in service.volumes.items():
            if target in mounts:
                continue
            if volume in service.ephemeral:
                # Sockets: a UNIX socket's path has 107 characters at most, a clone's may be long.
                mounts[target] = tempfile.mkdtemp(prefix="wirelab-")
                self._state["temporary"].append(mounts[target])
            else:
                mounts[target] = str(self.folder / "volumes" / volume)
                Path(mounts[target]).mkdir(parents=True, exist_ok=True)
        environment = {
            "WIRELAB_HOST": service.port.host,
            "WIRELAB_PORT": str(service.port.published),
        }
        given = {name: self._here(value) for name, value in service.environment.items()}
        if upstreams := given.get("WIRELAB_RELAY_UPSTREAMS"):
            given["WIRELAB_RELAY_UPSTREAMS"] = self._places(upstreams, named=True)
        return environment | given

    def _here(self, value: str) -> str:
        """Return `value`; of a path that begins with a mount's target, what it is here."""
        mounts: dict[str, str] = self._state["mounts"]
        target = next((target for target in mounts if value.startswith(target)), "")
        return mounts[target] + value.removeprefix(target) if target else value

    def _places(self, value: str, *, named: bool = False) -> str:
        """Return what places are here: `host:port` and paths, or with a name, `name=place`.

        Without what is not there; and if they have to be `named`, without those that are not.
        """
        words = (word.rpartition("=") for word in value.split() if not named or "=" in word)
        here = (name + sign + at for name, sign, place in words if (at := self._place(place)))
        return " ".join(here)

    def _place(self, place: str) -> str:
        """Return what an address or path in the containers' network is here; "" for none."""
        if place.startswith("/"):
            return path if Path(path := self._here(place)).exists() else ""
        address = self.addresses().get(place.partition(":")[0])
        return str(address) if address else ""


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


def wait_healthy(service: Service, address: Address) -> None:
    """Wait until a server answers its health check; raises LabError when it does not."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while problem := health.problem(service.speaks, address):
        if time.monotonic() > deadline:
            raise LabError(f"{service.name} does not get healthy: {problem}")
        time.sleep(0.1)
