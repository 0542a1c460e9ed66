"""Other versions of Python on this machine; `python -m tests.interop.pythons 3.12` finds one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VERSION = "import platform; print(platform.python_version())"


def find(minor: str) -> tuple[str, str] | None:
    """Return the command of a Python such as "3.12" and its version, None if there is none."""
    for command in _candidates(minor):
        done = subprocess.run([command, "-c", VERSION], capture_output=True, text=True, check=False)
        # A command of pyenv's is there for versions that are not, and fails then.
        if done.returncode == 0 and done.stdout.startswith(f"{minor}."):
            return command, done.stdout.strip()
    return None


def _candidates(minor: str) -> Iterator[str]:
    if found := shutil.which(f"python{minor}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for path in sorted(pyenv.glob(f"versions/{minor}.*/bin/python{minor}")):
        yield str(path)


if __name__ == "__main__":
    if not (found := find(sys.argv[1])):
        sys.exit(1)
    print(found[0])
