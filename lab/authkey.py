"""The key that object-echo, rpc and their clients share: a file, made at random when missing."""

import hashlib
import os
import secrets
import stat
from pathlib import Path

from lab import ROOT, LabError, files
from services.connection.authkey import authkey
from services.runtime import SettingError

CONTAINER_USER = 10001  # of compose.yaml, user and group


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
            # Another lab of this folder may make it at the same time: the first one counts.
            files.write(file, secrets.token_urlsafe(48) + "\n", 0o444, replace=False)
    except OSError as error:
        raise LabError(f"WIRELAB_AUTHKEY_FILE: {file}: {error.strerror}") from None
    if found := problem(file, containers=False):
        raise LabError(found)


def problem(file: Path, *, containers: bool) -> str:
    """Return what is wrong with the file: if it is missing, why it cannot be made.

    With `containers`, their user has to be able to read it too.
    """
    try:
        if not os.path.lexists(file):
            folder = files.existing(file.parent)
            if not folder.is_dir():
                return f"WIRELAB_AUTHKEY_FILE: {file}: {folder} is not a folder"
            if not os.access(folder, os.W_OK | os.X_OK):
                return f"WIRELAB_AUTHKEY_FILE: {file} is missing, and {folder} cannot be written to"
            return ""
        authkey({"WIRELAB_AUTHKEY_FILE": str(file)})
        if containers and not readable_by(CONTAINER_USER, file.stat()):
            return (
                f"WIRELAB_AUTHKEY_FILE: {file}: the user of the containers, {CONTAINER_USER}, may"
                f" not read it: chmod o+r {file}"
            )
    except OSError as error:
        return f"WIRELAB_AUTHKEY_FILE: {file}: {error.strerror}"
    except SettingError as error:
        hint = "\nRemove the file, and a new key is made" if file.is_file() else ""
        return f"{error}{hint}"
    return ""


def readable_by(user: int, status: os.stat_result) -> bool:
    """Whether a user whose group has the same number may read a file."""
    if status.st_uid == user:
        return bool(status.st_mode & stat.S_IRUSR)
    if status.st_gid == user:
        return bool(status.st_mode & stat.S_IRGRP)
    return bool(status.st_mode & stat.S_IROTH)


def digest(file: Path) -> str:
    """Return what tells keys apart, and is none; nothing where there is no key."""
    try:
        key = authkey({"WIRELAB_AUTHKEY_FILE": str(file)})
    except SettingError:
        return ""
    return hashlib.sha256(b"wirelab:" + key).hexdigest()[:12]
