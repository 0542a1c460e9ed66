"""The stack of compose.yaml, run by `docker compose`."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from clients.addresses import Address
from lab import ROOT, LabError, authkey, engine, interrupts, kit, package_index, reasons, settings
from lab.compose import PROJECT_LABEL, START_SECONDS, Project, reached
from lab.console import step
from lab.description import built, own, project, replicated, services, through_relay
from lab.docker_output import build, containers, failed_step, without_states
from lab.engine import docker
from lab.remains import remains

TERMINAL = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM", "COLUMNS", "LINES")


@dataclass
class Stack(Project):
    """One lab: the project of our compose.yaml, with the settings that it is run with."""

    project: str = field(default_factory=project)
    files: Sequence[Path] = (ROOT / "compose.yaml",)

    def environment(self) -> dict[str, str]:
        """Return the environment that `docker compose` gets."""
        key = self.settings.get("WIRELAB_AUTHKEY_FILE")
        return {
            **engine.environment(),
            "WIRELAB_CA_BUNDLE": settings.ca_bundle(),
            "WIRELAB_KEY_DIGEST": authkey.digest(Path(key) if key else authkey.path()),
            **self.settings,
            "COMPOSE_PROJECT_NAME": self.project,
        }

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a `docker compose` call."""
        # No .env: what it sets is in the environment already (lab/__main__.py), or not wanted.
        return super().command("--env-file", os.devnull, *arguments)

    def compose(self, *arguments: str, capture: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run `docker compose`; raises LabError with what it said and what to do if it fails."""
        try:
            return super().compose(*arguments, capture=capture)
        except LabError as error:
            raise LabError(reasons.explained(str(error))) from None

    def follow(
        self, read: Callable[[str], None], *arguments: str, profile: str | None = "*"
    ) -> "subprocess.CompletedProcess[str]":
        """Run `docker compose` as `run` does, and pass on each line that it prints at once.

        `stdout` of the outcome is all lines, those on stderr too.
        """
        return interrupts.follow(
            self.command("--progress", "plain", *arguments),
            read,
            cwd=ROOT,
            env={**self.environment(), "COMPOSE_PROFILES": profile or ""},
        )

    def run_clients(self, *arguments: str, told: Mapping[str, str] = MappingProxyType({})) -> int:
        """Run the clients in a container of their own; return their exit status.

        They know the terminal that they write to by the same settings as programs here, and the
        variables that they are `told`.
        """
        known = {name: os.environ[name] for name in TERMINAL if name in os.environ} | dict(told)
        options = [f"--env={name}={value}" for name, value in (known | self.replicas()).items()]
        return self.run("run", "--rm", *no_terminal(), *options, "clients", *arguments).returncode

    def replicas(self) -> dict[str, str]:
        """Return the variables that tell clients in the network of replicas, where some run."""
        running = self.running()
        return replicated(
            {
                each.name: Address(each.name, each.port.target)
                for each in services({}, profile="*")
                if each.name in running
            }
        )

    def check_own(self) -> None:
        """Raise LabError if there is a lab of this name that was started from another folder."""
        # One whose folder is gone, or has another name now, is whoever's takes it over.
        others = {path for path in self.folders() if Path(path, "compose.yaml").exists()}
        if others := {path for path in others if Path(path).resolve() != ROOT}:
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

    def bindings(self) -> dict[str, Address]:
        """Ask the engine where each port of the servers that run is published, by its setting.

        It may have picked the ports, and the settings may be others by now.
        """
        published = {
            (container["Service"], port["TargetPort"], port["Protocol"]): Address(
                port["URL"], port["PublishedPort"]
            )
            for container in self.containers()
            for port in container["Publishers"] or ()
            if port["PublishedPort"]
        }
        return {
            port.setting: where
            for service in services({}, profile="*")
            for port in service.ports
            if (where := published.get((service.name, port.target, port.protocol)))
        }

    def reachable(self) -> dict[str, Address]:
        """Return where clients on this machine reach each of these ports."""
        return {
            setting: Address(reached(where.host), where.port)
            for setting, where in self.bindings().items()
        }

    def addresses(self) -> dict[str, Address]:
        """Return where clients on this machine reach the servers that run."""
        return own(self.reachable())

    def address(
        self, service: str, port: int | None = None, protocol: str | None = None
    ) -> Address:
        """Return where a port of a server is published; of the relay's, by default its control."""
        if (port, protocol) == (None, None) and (where := self.addresses().get(service)):
            return where
        return super().address(service, port, protocol)

    def relayed(self) -> dict[str, Address]:
        """Return where clients reach each service through the relay."""
        return through_relay(self.reachable())

    def missing_images(self) -> list[str]:
        """Return the services, the clients among them, that the engine has no image of."""
        have = docker("images", "--format", "{{.Repository}}").split()
        named = [*(service.name for service in services()), "clients"]
        return [name for name in named if f"{self.project}-{name}" not in have]

    def with_old_key(self) -> list[str]:
        """Return the names of the servers that run with another key than the file has now."""
        found = docker(
            "ps", "--filter", f"label=com.docker.compose.project={self.project}",
            "--filter", "label=wirelab.key", "--format",
            '{{.Label "com.docker.compose.service"}} {{.Label "wirelab.key"}}',
        )  # fmt: skip
        key = self.environment()["WIRELAB_KEY_DIGEST"]
        labels = dict(line.split(" ", 1) for line in found.splitlines())
        return sorted(name for name, digest in labels.items() if digest not in ("", key))

    def build(self, *names: str, profile: str = "") -> None:
        """Build the images, or some; raises LabError with what the build said when it fails.

        Of those that only a profile needs, only those of `profile`. Those of a kit are there, and
        are built only where a server or client has been changed; those of profiles never, as they
        have Debian packages and nothing of ours.
        """
        if not names and kit.is_unchanged() and not self.missing_images():
            return
        wanted = names or built("" if kit.FOLDER.is_dir() else profile)
        self.settings |= package_index.for_builds()
        if {*wanted} - {*built()}:
            self.settings["WIRELAB_APT_SOURCES"] = package_index.apt_sources()
        with step("building the images") as building:
            done = self.follow(build(building.say, len(wanted)), "build", *wanted)
            if done.returncode and reasons.BROKE_OFF in done.stdout:
                done = self.follow(build(building.say, len(wanted)), "build", *wanted)
            if done.returncode:
                said = reasons.explained(failed_step(done.stdout))
                raise LabError(f"docker compose build failed:\n{said}".rstrip())

    def remove_services(self, names: list[str]) -> None:
        """Stop and remove the containers of some services, whatever they are wanted for next."""
        if names:
            self.compose("--progress", "quiet", "rm", "--stop", "--force", *names)

    def start(
        self, profile: str | None = "", seconds: float = START_SECONDS, only: str = ""
    ) -> None:
        """Start the containers, those of `profile` too, and wait until each is healthy.

        `only` names one that is to be started without the others. Raises NotHealthy that names
        those which are not, after their logs.
        """
        up = ("up", "--detach", "--no-build", "--remove-orphans")
        names = [only] if only else []
        with step("starting the containers") as starting:
            # What an engine is about to create is finished, also after a Ctrl-C: cut off meanwhile,
            # it may count a container that there is none of, and then never gives the network up.
            with interrupts.finishing():
                started = containers(starting.say, "Started")
                done = self.follow(started, *up, *names, profile=profile)
            if not done.returncode:
                wait = ("--wait", "--wait-timeout", f"{seconds:.0f}")
                healthy = containers(starting.say, "Healthy")
                done = self.follow(healthy, *up, *wait, *names, profile=profile)
            if done.returncode:
                said = reasons.explained(without_states(done.stdout))
                self.check_started(said)

    def down(self, *, volumes: bool = False, images: bool = False) -> None:
        """Remove containers and networks, and the volumes that only running servers need.

        `volumes` removes the others as well, `images` the images. Raises LabError on failure, and
        for what stays, as Compose counts a network that somebody uses as removed.
        """
        more = [*(["--volumes"] if volumes else []), *(["--rmi", "all"] if images else [])]
        what = "containers, volumes and images" if volumes and images else "containers and network"
        with step(f"removing {what}") as removing:
            removed = containers(removing.say, "Removed")
            done = self.follow(removed, "down", "--remove-orphans", "--timeout", "5", *more)
            if done.returncode:
                said = reasons.explained(without_states(done.stdout))
                raise LabError(f"docker compose down failed:\n{said}")
        if found := self.ephemeral_volumes():
            docker("volume", "rm", *found)
        if images:  # those that later builds took the name from
            label = f"label={PROJECT_LABEL}={self.project}"
            docker("image", "prune", "--force", "--filter", label)
        if left := remains(self.project):
            raise LabError("\n".join(left))

    def is_down(self) -> bool:
        """Whether there is nothing of it that `down` would remove."""
        return not (remains(self.project) or self.ephemeral_volumes())

    def ephemeral_volumes(self) -> list[str]:
        """Return the volumes that only running servers need."""
        labels = [f"{PROJECT_LABEL}={self.project}", "wirelab.ephemeral"]
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        return docker("volume", "ls", "--quiet", *filters).split()

    def remove(self) -> None:
        """Remove all of it, with its volumes and images; raises LabError on failure."""
        self.down(volumes=True, images=True)


def no_terminal() -> list[str]:
    """Return the option that `docker compose run` and `exec` need where there is no terminal."""
    return [] if sys.stdin.isatty() and sys.stdout.isatty() else ["--no-TTY"]
