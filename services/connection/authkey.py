"""The key that both sides of a connection have, read from a file."""

import os
from collections.abc import Mapping
from pathlib import Path

from services.runtime import SettingError

MIN_KEY = 32  # characters


def authkey(environ: Mapping[str, str] = os.environ) -> bytes:
    """Return the key in the file that `WIRELAB_AUTHKEY_FILE` names, less a trailing newline.

    Raises SettingError where there is none, or one of less than 32 characters.
    """
    path = environ.get("WIRELAB_AUTHKEY_FILE")
    if not path:
        raise SettingError("WIRELAB_AUTHKEY_FILE is not set: it names the file that holds the key")
    try:
        key = Path(path).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise SettingError(f"WIRELAB_AUTHKEY_FILE: {path}: {error.strerror}") from None
    if len(key) < MIN_KEY:
        raise SettingError(
            f"WIRELAB_AUTHKEY_FILE: the key in {path} has {len(key)} characters;"
            f" it takes at least {MIN_KEY}"
        )
    return key
