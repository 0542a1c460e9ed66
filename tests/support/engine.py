"""Stacks for tests, and short ways to ask the engine and to run the lab."""

import secrets
import subprocess
import sys
from pathlib import Path

import docker
from docker.models.containers import Container

from lab import ROOT
from lab.description import services
from lab.engine import base_image
from lab.stack import Stack
from lab.testing.service import Service
from lab.testing.service import run_in as run_in
from tests.support.relay import ANY_PORTS

SERVICES = [service.name for service in services({})]


def new_stack(key_file: Path, **settings: str) -> Stack:
    """Return a stack of its own project, on ports that the engine picks."""
    return Stack(
        f"wirelab-test-{secrets.token_hex(4)}",
        {
            **ANY_PORTS,
            "WIRELAB_AUTHKEY_FILE": str(key_file),
            "PYTHON_IMAGE": base_image(),
            **settings,
        },
    )


def container_of(engine: docker.DockerClient, stack: Stack, service: str) -> Container:
    """Return the container of a service."""
    return Service(stack, engine, service).container


def lab(stack: Stack, *arguments: str, folder: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Run the lab's command line in a folder, with the settings of `stack`."""
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=folder,
        env=stack.environment(),
        timeout=100,
        check=False,
        capture_output=True,
        text=True,
    )
