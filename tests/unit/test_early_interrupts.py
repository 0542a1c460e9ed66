"""Ctrl-C while a program still starts: it ends without a word."""

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


@pytest.mark.parametrize("program", [LAB, CLIENTS], ids=lambda program: program[0])
def test_a_ctrl_c_may_wait_until_python_has_started(program: tuple[str, ...]) -> None:
    """As it does under make: blocked until then, it ends the program as if it had come later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = subprocess.Popen(
            ["sh", "-c", 'kill -INT $$; exec "$@"', "sh", sys.executable, "-m", *program],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    out, err = process.communicate(timeout=FAR)
    assert (process.returncode, out, err) == (BY_CTRL_C, "", "")


def test_make_has_it_wait() -> None:
    """Where `env` can do that, which is GNU's."""
    block = ["env", "--block-signal=INT"]
    done = subprocess.run([*block, "true"], capture_output=True, check=False)
    shown = subprocess.run(
        ["make", "-n", "-o", "any-venv", "ps"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    words = [*([] if done.returncode else block), ".venv/bin/python", "-m", "lab", "ps"]
    assert shown.stdout.split() == words


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    """As under nohup, or in the background of a shell."""
    done = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh",
         sys.executable, "-c", INTERRUPTED, "argparse", *LAB],
        cwd=ROOT, capture_output=True, text=True, timeout=FAR, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wirelab ")
