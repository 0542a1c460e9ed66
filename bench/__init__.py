"""The benchmark: servers, variants and peers as local processes, measured in one run."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "bench"
