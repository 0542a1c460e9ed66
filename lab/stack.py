"""The stack of compose.yaml, run by `docker compose`."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clients.addresses import Address
from lab import ROOT, LabError
from lab.compose import PROJECT_LABEL, Project, docker
from lab.description import project, services

CA_VARIABLES = ("WIRELAB_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")


@dataclass
class Stack(Project):
    """One lab: the project of our compose.yaml, with the settings that it is run with."""

    project: str = field(default_factory=project)
    files: Sequence[Path] = (ROOT / "compose.yaml",)

    def environment(self) -> dict[str, str]:
        """Return the environment that `docker compose` gets."""
        bundles = [os.environ[name] for name in CA_VARIABLES if os.environ.get(name)]
        bundle = next((path for path in bundles if Path(path).is_file()), "")
        return {**super().environment(), "WIRELAB_CA_BUNDLE": bundle, **self.settings}

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a `docker compose` call."""
        # No .env: what it sets is in the environment already (lab/__main__.py), or not wanted.
        return super().command("--env-file", os.devnull, *arguments)

    def run_clients(self, *arguments: str) -> int:
        """Run the clients in a container of their own; return their exit status."""
        return self.run("run", "--rm", *no_terminal(), "clients", *arguments).returncode

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
        label = f"label={PROJECT_LABEL}={self.project}"
        return set(docker("ps", "--all", "--filter", label, "--format", template).split("\n")) - {
            ""
        }

    def addresses(self) -> dict[str, Address]:
        """Ask the engine where the servers that run are published: it may have picked the ports."""
        published = self.published()
        return {
            service.name: next(iter(ports.values()))
            for service in services(profile="*")
            if (ports := published.get(service.name))
        }

    def down(self, *, volumes: bool = False, images: bool = False) -> None:
        """Remove containers and networks, and the volumes that only running servers need.

        `volumes` removes the others as well, `images` the images. Raises LabError on failure.
        """
        more = [*(["--volumes"] if volumes else []), *(["--rmi", "all"] if images else [])]
        self.compose("down", "--remove-orphans", "--timeout", "5", *more)
        labels = [f"{PROJECT_LABEL}={self.project}", "wirelab.ephemeral"]
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        found = docker("volume", "ls", "--quiet", *filters).split()
        if found:
            docker("volume", "rm", *found)
        if images:  # those that later builds took the name from
            docker("image", "prune", "--force", "--filter", f"label={labels[0]}")

    def remove(self) -> None:
        """Remove all of it, with its volumes and images; raises LabError on failure."""
        self.down(volumes=True, images=True)


def no_terminal() -> list[str]:
    """Return the option that `docker compose run` and `exec` need where there is no terminal."""
    return [] if sys.stdin.isatty() and sys.stdout.isatty() else ["--no-TTY"]
