"""What the lab finds where it was installed from a kit, which lab/packing.py makes."""

import hashlib

from lab import ROOT

FOLDER = ROOT / "kit"
BUILT_FROM = FOLDER / "built_from"
SOURCES = ("Dockerfile", ".dockerignore", "compose.yaml", "clients", "services", "requirements")


def is_unchanged() -> bool:
    """Whether there is a kit, and its images were built from what stands here now."""
    return BUILT_FROM.is_file() and BUILT_FROM.read_text().strip() == digest()


def digest() -> str:
    """Return the digest of all that images are built from: contents and names, and no times."""
    found = hashlib.sha256()
    for each in (ROOT / name for name in SOURCES):
        for path in sorted(each.rglob("*")) if each.is_dir() else [each]:
            if path.is_file() and "__pycache__" not in path.parts:
                data = path.read_bytes()
                found.update(f"{path.relative_to(ROOT)} {len(data)}\n".encode() + data)
    return found.hexdigest()
