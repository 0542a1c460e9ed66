"""Ctrl-C while a program is still being imported: it ends without a word."""

import signal
import subprocess
import sys

import pytest

from lab import ROOT
from tests.support.pace import FAR

# `python -m PROGRAM ARGUMENTS`, with a Ctrl-C when a module is about to be imported.
INTERRUPTED = """
import os, runpy, signal, sys

class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

module, program, *arguments = sys.argv[1:]
sys.meta_path.insert(0, Finder)
sys.argv[1:] = arguments
runpy.run_module(program, run_name="__main__", alter_sys=True)
"""
BY_CTRL_C = -signal.SIGINT  # which a shell shows as 130, and make as "Interrupt"
LAB = ("lab", "--version")
CLIENTS = ("clients", "tcp-echo", "--help")


@pytest.mark.parametrize(
    ("program", "module", "status"),
    [
        (LAB, "argparse", BY_CTRL_C),
        (LAB, "lab.doctor", BY_CTRL_C),
        (LAB, "yaml", BY_CTRL_C),
        (LAB, "lab.workshop.commands", BY_CTRL_C),
        (CLIENTS, "clients.cli", BY_CTRL_C),
        (CLIENTS, "argparse", BY_CTRL_C),
        (CLIENTS, "services.version", BY_CTRL_C),
        (CLIENTS, "clients.tcp_echo", 130),  # this one when the command line has been read
    ],
)
def test_an_early_ctrl_c_says_nothing(program: tuple[str, ...], module: str, status: int) -> None:
    """There is nothing to clean up, and a traceback would be of no use to anybody."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module, *program],
        cwd=ROOT, capture_output=True, text=True, timeout=FAR, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    """As under nohup, or in the background of a shell."""
    done = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh",
         sys.executable, "-c", INTERRUPTED, "argparse", *LAB],
        cwd=ROOT, capture_output=True, text=True, timeout=FAR, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wirelab ")
