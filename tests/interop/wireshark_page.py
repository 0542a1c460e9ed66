"""docs/wireshark.md: its example for Wireshark, and what tshark prints of it.

`python -m tests.interop.wireshark_page` writes both; a test holds them to what tshark prints.
"""

import os
import pickle
import re
import shlex
from dataclasses import replace
from random import Random
from typing import Any
from unittest import mock

import docker

from lab import ROOT
from services.object_echo import echo
from services.rpc import calls
from services.wire import pcapng
from services.wire.record import Action
from tests.interop.tshark import Client, Recorder, Tshark, running

PAGE = ROOT / "docs" / "wireshark.md"
EXAMPLE = ROOT / "docs" / "wireshark.pcapng"
PLUGIN = "-X lua_script:services/wire/wirelab.lua"
# A block of the page: a command, and what it prints.
BLOCK = re.compile(r"(?<=```console\n)\$ (tshark .*)\n((?:(?!```).*\n)*)")


class Evil:
    """An object whose pickle runs a command where it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("id",)


def example() -> bytes:
    """Return the example: a call, a pickle that is refused, and a datagram that is lost."""
    slow = Action("latency_downstream", "latency", 7, None, "delayed by 40 ms")
    lost = Action("packet_loss_upstream", "packet_loss", 7, 0.0312, "dropped")
    recorder = Recorder()
    with mock.patch("os.urandom", Random(7).randbytes):  # noqa: S311 - the same bytes each time
        client = Client(recorder, "rpc", 1, calls.ANSWER)
        client.shake_hands_with(b"sha256", os.urandom(32))
        client.send(pickle.dumps(("add", (2, 3), {}), 4))
        reply = recorder.records.pop()
        left = reply.arrived + 0.04
        recorder.records.append(replace(reply, left=left, actions=(slow,)))
        recorder.now = left
        recorder.close("rpc", 1)
        client = Client(recorder, "object-echo", 1, echo.ANSWER)
        client.shake_hands_with(b"", os.urandom(20))
        client.send(pickle.dumps(Evil(), 4))
        recorder.close("object-echo", 1)
    recorder.add("udp-time", 1, "data", "upstream", b"id-1", left=None, actions=(lost,))
    recorder.now += 0.1
    recorder.add("udp-time", 1, "data", "upstream", b"id-1")
    recorder.add("udp-time", 1, "data", "downstream", b"id-1 Fri Jan 15 08:00:00 2027")
    return pcapng.encode(recorder.records)


def printed(page: str, tshark: Tshark, file: bytes) -> str:
    """Return the page with what tshark prints of the example in place of what stands there."""

    def block(found: re.Match[str]) -> str:
        command = found[1].replace(PLUGIN, "").replace(f"-r {EXAMPLE.relative_to(ROOT)}", "")
        lines = tshark.run(file, *shlex.split(command)[1:]).rstrip("\n").split("\n")
        output = "\n".join(line.rstrip() for line in lines)
        return f"$ {found[1]}\n{output}\n"

    return BLOCK.sub(block, page)


if __name__ == "__main__":
    engine = docker.from_env()
    EXAMPLE.write_bytes(example())
    with running(engine) as started:
        PAGE.write_text(printed(PAGE.read_text(), started, EXAMPLE.read_bytes()))
    engine.close()
