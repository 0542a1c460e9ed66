"""An engine as a node of a swarm: whether it is in one, how it gets in and out, and its images."""

import json
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lab import LabError, engine

LOOPBACK = "127.0.0.1"
PORT = 2377  # of the managers, by convention
# The bridge from containers of a swarm to the outside, which `docker swarm leave` does not remove.
BRIDGE = "docker_gwbridge"
HEARTBEAT = "2s"  # a node that misses three in a row is down; the default is 5 s

Swarm = dict[str, Any]


@dataclass(frozen=True)
class Node:
    """An engine, as in DOCKER_HOST; an empty text is the one that `docker` uses by itself.

    `address` is where the other nodes reach it; where that is empty, the engine finds it out.
    """

    engine: str = ""
    address: str = ""

    def __str__(self) -> str:
        return f"the engine at {self.engine}" if self.engine else "this engine"

    def docker(self, *arguments: str) -> str:
        """Run `docker` there, and return its output; raises LabError with what it said."""
        try:
            return engine.docker(*arguments, host=self.engine)
        except LabError as error:
            raise LabError(f"{self}: {error}") from None

    def silence(self) -> str:
        """Return why nobody answers, in a line; nothing if somebody does."""
        done = engine.run_docker("version", "--format", "{{.Server.Version}}", host=self.engine)
        if not done.returncode:
            return ""
        # Of an engine behind ssh that said it, in its last line, and `docker` puts much before it.
        _, _, said = done.stderr.strip().rpartition("stderr=")
        said = said.strip().rpartition("\n")[2].rstrip(".")
        scheme, _, where = self.engine.partition("://")
        if scheme != "ssh":
            return f"{self} does not answer: {said}"
        if said.startswith("Cannot connect to the Docker daemon"):
            said = "no engine runs there, or this user may not use it"
        host = where.partition("/")[0]  # without the path of a socket
        if ":" in host:
            host = f"ssh://{host}"  # as a URI it may have a port
        return (
            f"{self} does not answer: {said}. `ssh {host} docker version` has to work without a"
            " question"
        )

    def swarm(self) -> Swarm:
        """Return what the engine says of the swarm that it is in (`docker info`)."""
        found: Swarm | None = json.loads(self.docker("info", "--format", "{{json .Swarm}}"))
        if not found or not found["LocalNodeState"]:
            # `docker info` of many versions, 27 too, succeeds also where it has reached nobody.
            raise LabError(f"{self} does not answer")
        return found

    def manages(self) -> bool:
        """Whether it is a manager of a swarm; raises LabError where it can be neither that nor new.

        A worker cannot deploy, and one whose swarm has to be unlocked or reached first cannot
        either.
        """
        swarm = self.swarm()
        match swarm["LocalNodeState"]:
            case "inactive":
                return False
            case "active" if swarm["ControlAvailable"]:
                return True
            case "active" if not swarm.get("Error"):
                managers = ", ".join(each["Addr"] for each in swarm["RemoteManagers"] or ())
                raise LabError(
                    f"{self} is a worker of a swarm, and only its managers can deploy: {managers}."
                    " `make swarm` works on one of them, or here after `docker swarm leave`"
                )
            case "locked":
                raise LabError(
                    f"{self} is in a swarm that is locked: `docker swarm unlock` asks for its key"
                )
            case state:
                raise LabError(
                    f"{self} is in a swarm, but {state}: {swarm.get('Error') or 'no reason given'}."
                    " `docker swarm leave --force` takes it out of that swarm"
                )

    def make_swarm(self) -> None:
        """Make a swarm of this node; out of reach of others if its address is 127.0.0.1."""
        options = ["--dispatcher-heartbeat", HEARTBEAT]
        if self.address:
            options += ["--advertise-addr", self.address]
        if self.address == LOOPBACK:
            options += ["--listen-addr", f"{LOOPBACK}:{PORT}"]
        self._enter("init", *options)

    def join(self, manager: "Node") -> None:
        """Become a worker in the swarm of a manager."""
        swarm = manager.swarm()
        where = next(
            (each["Addr"] for each in swarm["RemoteManagers"] if each["NodeID"] == swarm["NodeID"]),
            f"{swarm['NodeAddr']}:{PORT}",
        )
        if where.startswith(f"{LOOPBACK}:") and self.address != LOOPBACK:
            raise LabError(
                f"the swarm of {manager} is for one machine, on {where}: `make swarm-down` ends it,"
                " and `make swarm` with NODES makes another one"
            )
        token = manager.docker("swarm", "join-token", "--quiet", "worker").strip()
        options = ["--advertise-addr", self.address] if self.address else []
        self._enter("join", *options, "--token", token, where)

    def _enter(self, *arguments: str) -> None:
        try:
            self.docker("swarm", *arguments)
        except LabError as error:
            hint = ""
            if "advertise" in str(error) or "IP address" in str(error):
                hint = f"\nNODES can name the address: {self.engine or 'ENGINE'}=ADDRESS"
            raise LabError(f"{error}{hint}") from None

    def leave(self) -> None:
        """Leave the swarm; a manager that is the last one ends it."""
        if self.swarm()["LocalNodeState"] != "inactive":
            self.docker("swarm", "leave", "--force")

    def has_bridge(self) -> bool:
        """Whether there is a docker_gwbridge."""
        names = self.docker("network", "ls", "--filter", f"name={BRIDGE}", "--format", "{{.Name}}")
        return BRIDGE in names.split()

    def remove_bridge(self) -> None:
        """Remove docker_gwbridge, unless somebody else's container is on it."""
        with suppress(LabError):
            self.docker("network", "rm", BRIDGE)

    def images(self) -> dict[str, str]:
        """Return the ID of each image by its name, or by the ID itself where it has lost that."""
        template = "{{.Repository}}:{{.Tag}} {{.ID}}"
        rows = self.docker("image", "ls", "--no-trunc", "--format", template).splitlines()
        named = dict(row.split(" ") for row in rows)
        unnamed = {row.split(" ")[1] for row in rows if row.startswith("<none>:<none> ")}
        return {**named, **{identity: identity for identity in unnamed}}

    def load(self, images: Sequence[str]) -> None:
        """Load images that the engine of this machine has; raises LabError with what went wrong."""
        pipe = subprocess.PIPE
        save = ["docker", "save", *images]
        load = ["docker", *(["--host", self.engine] if self.engine else []), "load", "--quiet"]
        environment = engine.environment()
        with (
            subprocess.Popen(save, stdout=pipe, stderr=pipe, env=environment) as saving,
            subprocess.Popen(
                load, stdin=saving.stdout, stdout=subprocess.DEVNULL, stderr=pipe, env=environment
            ) as loading,
        ):
            try:
                if saving.stdout:
                    saving.stdout.close()  # so that a `load` that ends early ends `save` too
                    saving.stdout = None
                _, said_by_load = loading.communicate()
                _, said_by_save = saving.communicate()
            except BaseException:
                saving.kill()
                loading.kill()
                raise
        if saving.returncode or loading.returncode:
            said = (said_by_save + said_by_load).decode(errors="replace").strip()
            raise LabError(f"images could not be loaded on {self}:\n{said}")
