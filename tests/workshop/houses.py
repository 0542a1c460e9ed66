"""How tests run the lab's command line in a copy of the house, as a participant does."""

import os
import subprocess
import sys
from pathlib import Path

Done = subprocess.CompletedProcess[str]
NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a participant who reads English."""
    return {**os.environ, "WIRELAB_LANGUAGE": "en", "COLUMNS": "80", **settings}


def lab(house: Path, *arguments: str, **settings: str) -> Done:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=house,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
