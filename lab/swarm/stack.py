"""What is deployed: the lab's servers as services of a swarm, waited for, shown and removed."""

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import yaml

from lab import LabError, engine, files, interrupts, listing
from lab.swarm import record
from lab.swarm.nodes import Node

LABEL = "com.docker.stack.namespace"
POLL_SECONDS = 1.0  # each poll is three calls of `docker`
# For one replica: an image that is unpacked, a start, and the first health check after 5 s.
START_SECONDS = 60.0
REPLICA_SECONDS = 15.0  # more for each further one, as an update takes one after the other
REMOVE_SECONDS = 60.0
ENDED = ("complete", "failed", "rejected", "shutdown", "orphaned", "remove")
SAME = ("ContainerSpec", "Resources", "Placement")  # where a task is as its service is now

Task = dict[str, Any]


class SwarmStack:
    """The stack of a name, by one of the managers of its swarm."""

    def __init__(self, name: str, manager: Node) -> None:
        self.name, self.manager = name, manager

    def deploy(self, document: Mapping[str, Any]) -> None:
        """Create the services, or change those that are there, and remove others of the stack."""
        # A file rather than a pipe: it is worth a look.
        file = record.folder() / f"{self.name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write(file, yaml.safe_dump(dict(document), sort_keys=False))
        # From the first service to the last, also after Ctrl-C: half a stack is nobody's.
        with interrupts.finishing():
            self.manager.docker(
                "stack", "deploy", "--compose-file", str(file), "--resolve-image", "never",
                "--prune", self.name,
            )  # fmt: skip

    def services(self) -> list[dict[str, Any]]:
        """Return what the swarm says of each service."""
        label = f"label={LABEL}={self.name}"
        found = self.manager.docker("service", "ls", "--quiet", "--filter", label).split()
        return self._inspected("service", found)

    def tasks(self) -> list[Task]:
        """Return what the swarm says of each task, those that have ended too."""
        services = [service["ID"] for service in self.services()]
        if not services:
            return []
        found = self.manager.docker("service", "ps", "--quiet", "--no-trunc", *services).split()
        return self._inspected("task", found)

    def _inspected(self, kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
        if not names:
            return []
        found: list[dict[str, Any]] = json.loads(
            self.manager.docker("inspect", "--type", kind, *names)
        )
        return found

    def wait_healthy(self, say: Callable[[str], None]) -> None:
        """Wait until each service has its replicas, as they are to be now, all of them healthy.

        To a swarm a task runs when it is healthy. Raises LabError that says what does not run, and
        why.
        """
        wanted = {each["ID"]: each for each in self.services()}
        counts = [each["Spec"]["Mode"]["Replicated"]["Replicas"] for each in wanted.values()]
        deadline = time.monotonic() + START_SECONDS + REPLICA_SECONDS * (max(counts) - 1)
        while True:
            tasks = [each for each in self.tasks() if each["DesiredState"] == "running"]
            ready = [each for each in tasks if is_ready(each, wanted[each["ServiceID"]])]
            say(f"{len(ready)} of {sum(counts)} replicas healthy")
            # No others beside them: those of before an update are still being stopped.
            if len(ready) == len(tasks) == sum(counts):
                return
            if time.monotonic() > deadline:
                raise LabError(self._not_started(wanted, ready))
            time.sleep(POLL_SECONDS)

    def _not_started(self, wanted: Mapping[str, Any], ready: Iterable[Task]) -> str:
        healthy = {(each["ServiceID"], each.get("Slot")) for each in ready}
        latest = {
            (each["ServiceID"], each.get("Slot")): each
            for each in sorted(self.tasks(), key=lambda each: each["CreatedAt"])
        }
        lines, logs = [], {}
        for (service, slot), task in sorted(latest.items()):
            if (service, slot) not in healthy:
                name = self.short(wanted[service]["Spec"]["Name"])
                status = task["Status"]
                said = status.get("Err") or status["Message"]
                lines.append(f"{name}.{slot}: {status['State']}, {said}")
                logs[name] = self.logs(name)
        more = [f"{name} logs:\n{text}" for name, text in logs.items() if text]
        return "\n".join(["not healthy in time:", *lines, *more]).rstrip()

    def logs(self, service: str) -> str:
        """Return the last lines of what the tasks of a service have written."""
        try:
            return self.manager.docker(
                "service", "logs", "--raw", "--tail", "50", f"{self.name}_{service}"
            )
        except LabError:  # of a task that has never run, or on a node that has gone
            return ""

    def short(self, service: str) -> str:
        """Return the name of a service as compose.yaml has it."""
        return service.removeprefix(f"{self.name}_")

    def states(self) -> str:
        """Return a line for each task that is wanted: its server, node and state, and its port."""
        services = {each["ID"]: self.short(each["Spec"]["Name"]) for each in self.services()}
        rows = self.manager.docker("node", "ls", "--format", "{{.ID}} {{.Hostname}}").splitlines()
        hosts = dict(row.split(" ") for row in rows)
        found = [
            (
                f"{services[task['ServiceID']]}.{task['Slot']}",
                hosts.get(task.get("NodeID", ""), "no node yet"),
                " ".join([state(task), task["Status"].get("Err", "")]).strip(),
                ", ".join(ports(task)),
            )
            for task in self.tasks()
            if task["DesiredState"] == "running"
        ]
        return listing.columns([("replica", "node", "state", "published"), *sorted(found)])

    def run_once(self, document: Mapping[str, Any]) -> "subprocess.CompletedProcess[str]":
        """Deploy a stack whose one task ends; return its exit status and what it wrote.

        It is removed in any case. Raises LabError where the task could not run.
        """
        run = SwarmStack(f"{self.name}-clients-{secrets.token_hex(3)}", self.manager)
        try:
            run.deploy(document)
            status = run.ended()["Status"]
            if not status.get("ContainerStatus", {}).get("ContainerID"):
                raise LabError(f"the clients did not run: {status.get('Err') or status['Message']}")
            (service,) = run.services()
            logs = ("service", "logs", "--raw", str(service["Spec"]["Name"]))
            done = engine.run_docker(*logs, host=self.manager.engine)
            done.returncode = int(status["ContainerStatus"].get("ExitCode", 0))
            return done
        finally:
            with interrupts.finishing():
                run.remove([self.manager])

    def ended(self) -> Task:
        """Wait until the only task has ended, which may take long once it runs; return it."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            tasks = self.tasks()
            if ended := [each for each in tasks if each["Status"]["State"] in ENDED]:
                return ended[0]
            runs = any(each["Status"]["State"] == "running" for each in tasks)
            if time.monotonic() > deadline and not runs:
                said = [each["Status"].get("Err") or each["Status"]["Message"] for each in tasks]
                raise LabError(f"the clients do not start: {'; '.join(said)}")
            time.sleep(POLL_SECONDS)

    def remove(self, nodes: Sequence[Node]) -> None:
        """Remove the services, networks and secrets, and wait until that is done.

        On `nodes` the containers have to be gone too. Raises LabError for what stays.
        """
        if self._left([]):
            self.manager.docker("stack", "rm", self.name)
        deadline = time.monotonic() + REMOVE_SECONDS
        while left := self._left(nodes):
            if time.monotonic() > deadline:
                raise LabError(f"of the stack {self.name} there stay: {', '.join(left)}")
            time.sleep(POLL_SECONDS)
        (record.folder() / f"{self.name}.yaml").unlink(missing_ok=True)

    def _left(self, nodes: Sequence[Node]) -> list[str]:
        label = ("--filter", f"label={LABEL}={self.name}")
        by_manager = {
            "service": ("service", "ls", *label, "--format", "{{.Name}}"),
            "secret": ("secret", "ls", *label, "--format", "{{.Name}}"),
            "network": ("network", "ls", *label, "--format", "{{.Name}}"),
        }
        found = [
            f"{kind} {name}"
            for kind, command in by_manager.items()
            for name in self.manager.docker(*command).split()
        ]
        for node in nodes:
            names = node.docker("ps", "--all", *label, "--format", "{{.Names}}").split()
            found += [f"container {name} on {node}" for name in names]
        return found

    def remains(self) -> list["SwarmStack"]:
        """Return the stacks of clients that were never removed: somebody was killed."""
        names = self.manager.docker("stack", "ls", "--format", "{{.Name}}").split()
        prefix = f"{self.name}-clients-"
        return [SwarmStack(name, self.manager) for name in names if name.startswith(prefix)]


def is_ready(task: Task, service: Mapping[str, Any]) -> bool:
    """Whether a task runs, healthy, as its service says now."""
    template = service["Spec"]["TaskTemplate"]
    return task["Status"]["State"] == "running" and all(
        without_empty(task["Spec"].get(part)) == without_empty(template.get(part)) for part in SAME
    )


def without_empty(part: Any) -> Any:
    """Return a part of a specification without what is empty: a task has lost some of that."""
    if isinstance(part, dict):
        parts = {name: without_empty(each) for name, each in part.items()}
        return {name: each for name, each in parts.items() if each not in (None, {}, [], "")}
    return part


def state(task: Task) -> str:
    """Return the state of a task in a word: what a swarm calls running is healthy."""
    name = str(task["Status"]["State"])
    return {"running": "healthy", "starting": "starting, not healthy yet"}.get(name, name)


def ports(task: Task) -> list[str]:
    """Return the ports of a task that are published on its node, by IPv4, IPv6 or both."""
    found = task["Status"].get("PortStatus", {}).get("Ports") or ()
    return sorted({f"{each['PublishedPort']}/{each['Protocol']}" for each in found})
