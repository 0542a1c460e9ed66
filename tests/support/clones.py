"""A copy of the repository, to change or to run the lab from."""

import shutil
from pathlib import Path

from lab import ROOT

FOLDERS = ("clients", "lab", "requirements", "scripts", "services")
FILES = (".dockerignore", ".gitattributes", ".gitignore", "Dockerfile", "Makefile", "compose.yaml")


def clone(folder: Path) -> Path:
    """Copy what the lab is made of into a folder, and return that."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    return folder
