"""The stack that compose.yaml describes: read from there, and run by `docker compose`."""

import ipaddress
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from clients.addresses import Address, variable

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"
REFERENCE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
COMPOSE_COMMANDS = ("build", "down", "logs", "ps", "restart", "run", "up")
CA_VARIABLES = ("WIRELAB_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")


class LabError(Exception):
    """Something that the person at the keyboard has to know; the message is the whole of it."""


@dataclass(frozen=True)
class Port:
    """Where a service listens on the host: 0 is for a port that the engine picks."""

    host: str
    published: int
    target: int
    protocol: str


@dataclass(frozen=True)
class Service:
    """One server of compose.yaml, with its variables filled in.

    `speaks` is the service whose protocol it speaks: for a variant, the one that it is one of.
    """

    name: str
    speaks: str
    profiles: list[str]
    command: list[str]
    environment: dict[str, str]
    port: Port
    volumes: dict[str, str]
    ephemeral: set[str]
    variable: str


def project(environ: Mapping[str, str] = os.environ) -> str:
    """Return the name of the lab: `COMPOSE_PROJECT_NAME`, or else the one in compose.yaml."""
    name = environ.get("COMPOSE_PROJECT_NAME") or str(_document(environ={})["name"])
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise LabError(
            f"COMPOSE_PROJECT_NAME has value {name!r}. Not a name of lower-case letters, digits,"
            " hyphens and underscores"
        )
    return name


def services(environ: Mapping[str, str] = os.environ, profile: str = "") -> list[Service]:
    """Return the servers that run by default, and those of `profile` too ("*": of any).

    Raises LabError for a profile that no server has, and for a port that is none.
    """
    document = _document(environ)
    servers = {name: block for name, block in document["services"].items() if "ports" in block}
    known = {word for block in servers.values() for word in block.get("profiles", ())}
    if profile and profile not in {"*", *known}:
        raise LabError(
            f"PROFILE has value {profile!r}. Not a profile of servers, which are:"
            f" {', '.join(sorted(known))}"
        )
    labels = {
        name: (volume or {}).get("labels", {}) for name, volume in document["volumes"].items()
    }
    ephemeral = {name for name in labels if "wirelab.ephemeral" in labels[name]}
    return [
        Service(
            name=name,
            speaks=block["healthcheck"]["test"][-1],
            profiles=block.get("profiles", []),
            command=[str(word) for word in block["command"]],
            environment={key: str(value) for key, value in block.get("environment", {}).items()},
            port=_port(name, block["ports"][0]),
            volumes=dict(volume.split(":")[:2] for volume in block.get("volumes", ())),
            ephemeral=ephemeral,
            variable=port_variable(name),
        )
        for name, block in servers.items()
        if "profiles" not in block or profile in ("*", *block["profiles"])
    ]


def clients_environment() -> dict[str, str]:
    """Return what the clients' container is told: where the servers are, and the key."""
    return dict(_document(environ={})["services"]["clients"]["environment"])


def port_variable(service: str) -> str:
    """Return the name of the setting for the port that `service` is published on."""
    return variable(service).replace("_ADDRESS", "_PORT")


def _port(service: str, text: str) -> Port:
    host, published, target = text.rsplit(":", 2)
    number, _, protocol = target.partition("/")
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise LabError(f"WIRELAB_BIND has value {host!r}. Not an IPv4 address") from None
    if not published.isdigit() or int(published) > 65535:
        raise LabError(
            f"{port_variable(service)} has value {published!r}. Not a port number (0 to 65535)"
        )
    return Port(host, int(published), int(number), protocol)


def _document(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return compose.yaml with `${NAME}` and `${NAME:-default}` replaced as Compose does."""
    text = (ROOT / "compose.yaml").read_text()
    document: dict[str, Any] = yaml.safe_load(
        REFERENCE.sub(lambda found: environ.get(found[1]) or found[2] or "", text)
    )
    return document


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
        # No .env: what it sets is in the environment already (scripts/lab.py), or not wanted.
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

    def running(self) -> list[str]:
        """Return the names of the services that have a running container."""
        return self.compose("ps", "--services", "--status", "running").stdout.split()

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
            (container["Service"], port["TargetPort"]): Address(port["URL"], port["PublishedPort"])
            for container in map(json.loads, listing)
            for port in container["Publishers"] or ()
            if port["PublishedPort"]
        }
        return {
            service.name: where._replace(host=where.host.replace("0.0.0.0", "127.0.0.1"))
            for service in services(profile="*")
            if (where := published.get((service.name, service.port.target)))
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


def docker(*arguments: str) -> str:
    """Run `docker` and return its output; raises LabError with what it said when it fails."""
    done = subprocess.run(["docker", *arguments], check=False, text=True, capture_output=True)
    if done.returncode:
        raise LabError(f"docker {arguments[0]} failed:\n{done.stderr.strip()}")
    return done.stdout


def script(name: str, *arguments: str) -> int:
    """Run one of the shell scripts beside this file on this terminal; return its exit status."""
    return subprocess.run([str(SCRIPTS / name), *arguments], check=False).returncode


def base_image() -> str:
    """Return the name of the Python image to build from, made here where there is none."""
    done = subprocess.run(
        [str(SCRIPTS / "base_image.sh")],
        env={**{k: v or "" for k, v in dotenv_values(ROOT / ".env").items()}, **os.environ},
        check=False,
        text=True,
        stdout=subprocess.PIPE,
    )
    if done.returncode:
        raise LabError("there is no Python image to build from")
    return done.stdout.strip()
