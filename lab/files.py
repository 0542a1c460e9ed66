"""Files that are whole or not there, and errors of files in words."""

import errno
import os
import pwd
import tempfile
from pathlib import Path


def write(file: Path, text: str, mode: int = 0o644, *, replace: bool = True) -> None:
    """Write a file aside and give it its name when it is complete, on disk and of its mode.

    Without `replace`, one that is there already stays. Raises OSError, and then there is nothing.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    aside = Path(name)
    try:
        with os.fdopen(descriptor, "w") as output:
            os.fchmod(descriptor, mode)
            output.write(text)
            output.flush()
            os.fsync(descriptor)
        if replace:
            aside.replace(file)
        elif not linked(aside, file):
            aside.rename(file)
    finally:
        aside.unlink(missing_ok=True)


def linked(aside: Path, file: Path) -> bool:
    """Whether the file is there under its name: `link` replaces none, as `rename` would."""
    try:
        os.link(aside, file)
    except FileExistsError:
        return True
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        return False  # some file systems have no links
    return True


def existing(path: Path) -> Path:
    """Return the path, or the closest of its parents that is there."""
    return next(each for each in (path, *path.parents) if os.path.lexists(each))


def described(error: OSError) -> str:
    """Return an error as a line: the file, what is wrong, and whose it is if it is another's."""
    if not error.filename:
        return f"cannot write: {error.strerror or error}"
    said = f"{error.filename}: {error.strerror}"
    if error.errno not in (errno.EACCES, errno.EPERM):
        return said
    try:
        owner = existing(Path(os.fsdecode(error.filename))).stat().st_uid
    except OSError:
        return said
    return said if owner == os.geteuid() else f"{said}: it belongs to {user(owner)}"


def user(number: int) -> str:
    """Return the name of a user, or the number where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
