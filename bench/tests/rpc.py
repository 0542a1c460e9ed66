"""Running the load generator for RPC."""

import json
import subprocess
import sys
from typing import Any

from clients.addresses import Address
from lab import ROOT


def start(client: str, address: Address, **options: object) -> "subprocess.Popen[str]":
    """Start the load generator with these options."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "bench.rpc_load",
            client,
            address.host,
            str(address.port),
            *arguments,
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def load(client: str, address: Address, **options: object) -> dict[str, Any]:
    """Run the load generator up to its report, and return that."""
    with start(client, address, **options) as process:
        assert process.stdout
        line = next((line for line in process.stdout if line.startswith("{")), "")
        process.terminate()
        errors = process.stderr.read() if process.stderr else ""
    assert line, errors
    report: dict[str, Any] = json.loads(line)
    return report
