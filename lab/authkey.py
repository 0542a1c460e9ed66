"""The key that object-echo, rpc and their clients share: a file, made at random when missing."""

import os
import secrets
import stat
from pathlib import Path

from lab import ROOT, LabError
from services.connection.authkey import authkey
from services.runtime import SettingError


def path() -> Path:
    """Return the file that `WIRELAB_AUTHKEY_FILE` names, by default secrets/authkey."""
    return ROOT / (os.environ.get("WIRELAB_AUTHKEY_FILE") or "secrets/authkey")


def ensure(file: Path) -> None:
    """Make the file if it does not exist; raises LabError if it holds no usable key.

    A folder that is made for it is for its owner alone, and the file itself for everyone to read:
    Compose mounts the file as it is, and the container's user, who is nobody on the host, has to
    read it.
    """
    try:
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.write_text(secrets.token_urlsafe(48) + "\n")
            file.chmod(0o444)
    except OSError as error:
        raise LabError(f"WIRELAB_AUTHKEY_FILE: {file}: {error.strerror}") from None
    try:
        authkey({"WIRELAB_AUTHKEY_FILE": str(file)})
    except SettingError as error:
        hint = "\nRemove the file, and a new key is made" if file.is_file() else ""
        raise LabError(f"{error}{hint}") from None


def check_readable(file: Path) -> None:
    """Raise LabError if the user of the containers could not read the file."""
    if not file.stat().st_mode & stat.S_IROTH:
        raise LabError(
            f"WIRELAB_AUTHKEY_FILE: {file}: the user of the containers, 10001, may not read it:"
            f" chmod o+r {file}"
        )
