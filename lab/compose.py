"""A project of `docker compose`, of any compose file: started, asked, and removed.

The lab's own is `lab.stack.Stack`; the tests of another project have one from `lab.testing`.
"""

import json
import math
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clients.addresses import Address
from lab import LabError, interrupts

# pytest shows the line of the test that is wrong, and not those in here that say so.
__tracebackhide__ = methodcaller("errisinstance", LabError)

COMMANDS = ("build", "config", "down", "logs", "ps", "restart", "rm", "run", "up")
PROJECT_LABEL = "com.docker.compose.project"
START_SECONDS = 60.0
EVERY_INTERFACE = ("0.0.0.0", "::", "")
LAST_LINES = 20  # of the log of each container that failed to start
STAMPED = re.compile(r"(?P<who>[^|]*\| )(?P<stamp>\S+Z) (?P<what>.*)")


class NotHealthy(LabError):
    """A start failed as some services, which it names, are not healthy."""

    def __init__(self, shown: str, services: Sequence[str]) -> None:
        super().__init__(f"{shown}\nnot healthy: {', '.join(services)}")
        self.services = services


@dataclass
class Project:
    """A project: its name, the environment that its files are read with, and the files."""

    project: str
    settings: dict[str, str] = field(default_factory=dict, repr=False)  # they may be secret
    files: Sequence[Path] = (Path("compose.yaml"),)

    def environment(self) -> dict[str, str]:
        """Return the environment that `docker compose` gets."""
        return {**os.environ, **self.settings, "COMPOSE_PROJECT_NAME": self.project}

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a `docker compose` call."""
        files = [word for file in self.files for word in ("--file", str(file.absolute()))]
        return ["docker", "compose", *files, *arguments]

    def compose(self, *arguments: str, capture: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run `docker compose`; raises LabError with what it said when it fails."""
        done = self.run(*arguments, capture=capture)
        if done.returncode:
            self.check_files()
            what = next((word for word in arguments if word in COMMANDS), arguments[0])
            # Of a build, the step that failed: all that went well stands above a line of dashes.
            _, _, step = (done.stdout or "").partition("------\n")
            raise LabError(f"docker compose {what} failed:\n{step}{done.stderr or ''}".rstrip())
        return done

    def check_files(self) -> None:
        """Raise LabError, which names the files, if Compose can make nothing of them.

        Compose itself says of some errors only the line.
        """
        done = self.run("config", "--quiet", capture=True)
        if done.returncode:
            files = ", ".join(str(file.absolute()) for file in self.files)
            raise LabError(f"{files} cannot be used:\n{done.stderr.strip()}")

    def run(
        self, *arguments: str, capture: bool = False, profile: str | None = "*"
    ) -> "subprocess.CompletedProcess[str]":
        """Run `docker compose` on the services of a profile, and return the outcome.

        "*" is for all services: `down` would leave those of a profile otherwise, and the containers
        of `run`. None leaves it to COMPOSE_PROFILES in the environment and in .env, and so does
        `run`: it knows the profile of its service, and would make the volumes of all others.
        """
        if arguments[0] == "run":
            profile = None
        profiles = {} if profile is None else {"COMPOSE_PROFILES": profile}
        done = interrupts.run(
            self.command(*arguments), capture=capture,
            cwd=self.files[0].absolute().parent, env={**self.environment(), **profiles},
        )  # fmt: skip
        if capture:
            # Before each line its `logs` clears it, also where there is no terminal.
            done.stdout = done.stdout.replace("\x1b[2K", "")
        return done

    def services(self) -> list[str]:
        """Return the names of all services of the files, those of profiles too."""
        return sorted(self.compose("config", "--services").stdout.split())

    def containers(self) -> list[dict[str, Any]]:
        """Return what `docker compose ps` says of each container, those that ended too."""
        listing = self.compose("ps", "--all", "--format", "json").stdout
        return [json.loads(line) for line in listing.splitlines()]

    def running(self) -> list[str]:
        """Return the names of the services that have a running container."""
        return self.compose("ps", "--services", "--status", "running").stdout.split()

    def address(
        self, service: str, port: int | None = None, protocol: str | None = None
    ) -> Address:
        """Ask the engine where a port of a service is published: after a restart it is another one.

        The port is the container's, the protocol "tcp" or "udp"; either may be left out where
        there is no choice. Raises LabError that says what there is instead.
        """
        published = self.published().get(service) or {}
        found = [
            where
            for (number, kind), where in published.items()
            if port in (None, number) and protocol in (None, kind)
        ]
        if len(found) == 1:
            return found[0]
        if service not in self.running():
            self.check_known(service)
            raise LabError(f"service {service!r} does not run")
        ports = ", ".join(f"{number}/{kind}" for number, kind in sorted(published)) or "none"
        if found:
            raise LabError(f"service {service!r} publishes more than one port: which of {ports}?")
        wanted = "" if port is None else f" {port}/{protocol or 'tcp or udp'}"
        raise LabError(f"service {service!r} publishes no port{wanted}; it publishes {ports}")

    def published(self) -> dict[str, dict[tuple[int, str], Address]]:
        """Return, for each service that runs, where each of its ports is published.

        A port is a number and a protocol. Of several containers of a service it is the first one's.
        """
        found: dict[str, dict[tuple[int, str], Address]] = {}
        for container in sorted(self.containers(), key=lambda each: str(each["Name"])):
            ports = found.setdefault(str(container["Service"]), {})
            for each in container["Publishers"] or ():
                if each["PublishedPort"]:
                    where = Address(reached(each["URL"]), each["PublishedPort"])
                    # IPv4 comes before IPv6, and stays.
                    ports.setdefault((each["TargetPort"], each["Protocol"]), where)
        return found

    def check_known(self, service: str) -> None:
        """Raise LabError, which lists the services, if there is none of this name."""
        if service not in (known := self.services()):
            raise LabError(f"no service {service!r}; there are {', '.join(known)}")

    def logs(self, *services: str, since: float | None = None, tail: int | None = None) -> str:
        """Return what containers have written, in the order of time, each line with its container.

        `since` is a time as of time.time(); `tail` the number of lines of each container.
        """
        options = [
            *(["--since", f"{since:.6f}"] if since is not None else []),
            *(["--tail", str(tail)] if tail is not None else []),
        ]
        # Compose prints one container after the other, or mixed as they come.
        done = self.run("logs", "--no-color", "--timestamps", *options, *services, capture=True)
        found = [match for line in done.stdout.splitlines() if (match := STAMPED.match(line))]
        found.sort(key=lambda match: match["stamp"])
        return "".join(f"{match['who']}{match['what']}\n" for match in found)

    def build(self) -> None:
        """Build the images; raises LabError with what the build said when it fails."""
        self.compose("--progress", "plain", "build")

    def start(self, profile: str | None = None, seconds: float = START_SECONDS) -> None:
        """Start the containers, those of `profile` too, and wait until each is healthy.

        A service without a health check has to run. Raises NotHealthy that names those which are
        not, after their logs and last checks.
        """
        done = self.run(
            "--progress", "quiet", "up", "--detach", "--no-build", "--remove-orphans",
            "--wait", "--wait-timeout", str(math.ceil(seconds)), capture=True, profile=profile,
        )  # fmt: skip
        if done.returncode:
            self.check_started(done.stderr.strip())

    def check_started(self, said: str) -> None:
        """Raise LabError for a start that failed as Compose `said`, unless all are healthy by now.

        It has what is to be known: logs, states, checks, and at the end the services that failed.
        """
        containers = self.containers()
        if not (failed := failing(containers, said)):
            # It waits no longer than until the first that it counts as unhealthy.
            if containers and "is unhealthy" in said:
                return
            raise LabError(f"docker compose up failed:\n{said}")
        states = [f"{found['Service']}: {found['Status']}" for found in containers]
        checks = [
            f"{found['Service']}, its last health check:\n{output}"
            for found in failed
            if (output := last_check(str(found["ID"])))
        ]
        names = sorted({str(found["Service"]) for found in failed})
        logs = self.logs(*names, tail=LAST_LINES).rstrip()
        raise NotHealthy("\n".join(filter(None, [logs, *states, *checks, said])), names)

    def remove(self) -> None:
        """Remove containers, networks, volumes, and the images built for this project alone.

        They are found by their labels: whatever the files say by now, or wherever they are. Raises
        LabError for what cannot be removed.
        """
        command = ["docker", "compose", "--project-name", self.project, "down", "--remove-orphans",
                   "--volumes", "--rmi", "local", "--timeout", "5"]  # fmt: skip
        # In a folder with a compose file, or in one below it, it would read that.
        environment = {**os.environ, "COMPOSE_FILE": ""}
        done = interrupts.run(command, capture=True, cwd="/", env=environment)
        if done.returncode:
            raise LabError(f"docker compose down failed:\n{done.stderr.strip()}")

    def left(self) -> list[str]:
        """Return what the engine has of this project: containers, networks, volumes."""
        label = ("--filter", f"label={PROJECT_LABEL}={self.project}")
        containers = docker("ps", "--all", *label, "--format", "{{.Names}}").split()
        networks = docker("network", "ls", *label, "--format", "{{.Name}}").split()
        volumes = docker("volume", "ls", *label, "--format", "{{.Name}}").split()
        return [
            *(f"container {name}" for name in containers),
            *(f"network {name}{connected(name)}" for name in networks),
            *(f"volume {name}" for name in volumes),
        ]


def docker(*arguments: str) -> str:
    """Run `docker` and return its output; raises LabError with what it said when it fails."""
    done = interrupts.run(["docker", *arguments], capture=True)
    if done.returncode:
        raise LabError(f"docker {arguments[0]} failed:\n{done.stderr.strip()}")
    return done.stdout


def is_ready(container: Mapping[str, Any]) -> bool:
    """Whether a container runs, and is healthy if it has a health check."""
    return container["State"] == "running" and container["Health"] in ("", "healthy")


def failing(containers: Sequence[Mapping[str, Any]], said: str) -> list[Mapping[str, Any]]:
    """Return the containers that a start failed for, which are not healthy now, either.

    Compose names one that it gave up for. If that is restarted again and again it may run once more
    by now, or seem to: `ps` asks for its state and for its health in turn. Who is starting still
    is to blame only if nobody else is.
    """
    words = said.split()
    failed = [
        each for each in containers
        if (each["Health"] != "healthy" if each["Name"] in words else not is_ready(each))
    ]  # fmt: skip
    ended = [each for each in failed if each["Name"] in words or each["Health"] != "starting"]
    return ended or failed


def last_check(container: str) -> str:
    """Return what the last health check of a container printed."""
    health = json.loads(docker("inspect", "--format", "{{json .State.Health}}", container))
    checks = (health or {}).get("Log") or []
    return str(checks[-1]["Output"]).strip() if checks else ""


def connected(network: str) -> str:
    """Return who is still connected to a network, in brackets, or nothing."""
    template = "{{range .Containers}}{{.Name}} {{end}}"
    names = docker("network", "inspect", "--format", template, network).split()
    return f" (container {', '.join(names)} is connected)" if names else ""


def reached(host: str) -> str:
    """Return where to reach a port that is published on `host`: on the machine of the engine."""
    if host not in EVERY_INTERFACE:
        return host
    return urlsplit(os.environ.get("DOCKER_HOST", "")).hostname or "127.0.0.1"
