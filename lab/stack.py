"""The stack of compose.yaml, run by `docker compose`."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from clients.addresses import Address
from lab import ROOT, LabError
from lab.description import project, services
from lab.engine import docker

COMPOSE_COMMANDS = ("build", "down", "logs", "ps", "restart", "run", "up")
TERMINAL = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM", "COLUMNS", "LINES")
CA_VARIABLES = ("WIRELAB_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")


@dataclass
class Stack:
    """One lab: a project of `docker compose`, with the settings that it is run with."""

    project: str = field(default_factory=project)
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the environment that `docker compose` gets."""
        bundles = [os.environ[name] for name in CA_VARIABLES if os.environ.get(name)]
        return {
            **os.environ,
            "WIRELAB_CA_BUNDLE": next((path for path in bundles if Path(path).is_file()), ""),
            **self.settings,
            "COMPOSE_PROJECT_NAME": self.project,
        }

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a `docker compose` call."""
        # No .env: what it sets is in the environment already (lab/__main__.py), or not wanted.
        files = ["--env-file", os.devnull, "--file", str(ROOT / "compose.yaml")]
        return ["docker", "compose", *files, *arguments]

    def compose(self, *arguments: str, capture: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run `docker compose`; raises LabError with what it said when it fails."""
        done = self.run(*arguments, capture=capture)
        if done.returncode:
            what = next((word for word in arguments if word in COMPOSE_COMMANDS), arguments[0])
            # Of a build, the step that failed: all that went well stands above a line of dashes.
            _, _, step = (done.stdout or "").partition("------\n")
            raise LabError(f"docker compose {what} failed:\n{step}{done.stderr or ''}".rstrip())
        return done

    def run(
        self, *arguments: str, capture: bool = False, profile: str = "*"
    ) -> "subprocess.CompletedProcess[str]":
        """Run `docker compose` on the services of a profile ("*": on all), return the outcome."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            # Without theirs, `down` would leave the variants, and the containers of `run`.
            env={**self.environment(), "COMPOSE_PROFILES": profile},
            check=False,
            text=True,
            capture_output=capture,
        )
        if capture:
            # Before each line its `logs` clears it, also where there is no terminal.
            done.stdout = done.stdout.replace("\x1b[2K", "")
        return done

    def run_clients(self, *arguments: str) -> int:
        """Run the clients in a container of their own; return their exit status.

        They know the terminal that they write to by the same settings as programs here.
        """
        known = [f"--env={name}={os.environ[name]}" for name in TERMINAL if name in os.environ]
        return self.run("run", "--rm", *no_terminal(), *known, "clients", *arguments).returncode

    def running(self) -> list[str]:
        """Return the names of the services that have a running container."""
        return self.compose("ps", "--services", "--status", "running").stdout.split()

    def check_own(self) -> None:
        """Raise LabError if there is a lab of this name that was started from another folder."""
        if others := self.folders() - {str(ROOT)}:
            raise LabError(
                f"the lab named {self.project} is that of {', '.join(others)}: for another one set"
                " COMPOSE_PROJECT_NAME, and the ports (0: any free ones)"
            )

    def folders(self) -> set[str]:
        """Return the folders whose compose.yaml the containers of this project were made from."""
        template = '{{.Label "com.docker.compose.project.working_dir"}}'
        label = f"label=com.docker.compose.project={self.project}"
        return set(docker("ps", "--all", "--filter", label, "--format", template).split("\n")) - {
            ""
        }

    def addresses(self) -> dict[str, Address]:
        """Ask the engine where the servers that run are published: it may have picked the ports."""
        listing = self.compose("ps", "--format", "json").stdout.splitlines()
        published = {
            container["Service"]: Address(port["URL"], port["PublishedPort"])
            for container in map(json.loads, listing)
            for port in container["Publishers"] or ()
            if port["PublishedPort"]
        }
        return {
            service.name: where._replace(host=where.host.replace("0.0.0.0", "127.0.0.1"))
            for service in services(profile="*")
            if (where := published.get(service.name))
        }

    def address(self, service: str) -> Address:
        """Ask the engine where one of the servers that run is published."""
        return self.addresses()[service]

    def build(self) -> None:
        """Build the images; raises LabError with what the build said when it fails."""
        self.compose("--progress", "plain", "build")

    def start(self, profile: str = "") -> None:
        """Start the containers, those of `profile` too, and wait until each is healthy.

        Raises LabError that names those which are not, with their logs.
        """
        done = self.run(
            "--progress", "quiet", "up", "--detach", "--no-build", "--remove-orphans",
            "--wait", "--wait-timeout", "60", capture=True, profile=profile,
        )  # fmt: skip
        if done.returncode:
            listing = self.compose("ps", "--all", "--format", "{{.Service}} {{.State}} {{.Health}}")
            states = [line.split(maxsplit=1) for line in listing.stdout.splitlines()]
            failed = [service for service, state in states if state != "running healthy"]
            logs = self.compose("logs", "--tail", "20", *failed).stdout if failed else ""
            raise LabError(
                f"not healthy: {', '.join(failed)}\n{done.stderr.strip()}\n{logs.strip()}"
            )

    def down(self, *, volumes: bool = False, images: bool = False) -> None:
        """Remove containers and networks, and the volumes that only running servers need.

        `volumes` removes the others as well, `images` the images. Raises LabError on failure.
        """
        more = [*(["--volumes"] if volumes else []), *(["--rmi", "all"] if images else [])]
        self.compose("down", "--remove-orphans", "--timeout", "5", *more)
        labels = [f"com.docker.compose.project={self.project}", "wirelab.ephemeral"]
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        found = docker("volume", "ls", "--quiet", *filters).split()
        if found:
            docker("volume", "rm", *found)
        if images:  # those that later builds took the name from
            docker("image", "prune", "--force", "--filter", f"label={labels[0]}")


def no_terminal() -> list[str]:
    """Return the option that `docker compose run` and `exec` need where there is no terminal."""
    return [] if sys.stdin.isatty() and sys.stdout.isatty() else ["--no-TTY"]
