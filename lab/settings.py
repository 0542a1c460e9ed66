"""The settings: of the environment, and of the file .env what the environment does not set.

Whatever reads a setting reads it in `os.environ` after `load()`, so that there is one value of it.
"""

import io
import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from dotenv.main import DotEnv
from dotenv.parser import parse_stream

from lab import ROOT, LabError

CA_VARIABLES = ("WIRELAB_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
PATHS = ("WIRELAB_AUTHKEY_FILE", *CA_VARIABLES)
PREFIX = "WIRELAB_"
KNOWN_IN = ("compose.yaml", "docs/settings.md", "docs/by-hand.md")  # the Makefile has the same list


def load(file: Path = ROOT / ".env") -> None:
    """Put the settings of .env into the environment, and in full the paths that begin with ~.

    Raises LabError for a file that cannot be read as settings, with the line at fault.
    """
    for name, value in read(file).items():
        os.environ.setdefault(name, value)
    for name in PATHS:
        if os.environ.get(name, "").startswith("~"):
            os.environ[name] = str(expanded(name, os.environ[name]))


def read(file: Path) -> dict[str, str]:
    """Return the settings in a file of NAME=value lines; raises LabError with the line at fault."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise LabError(f"the settings in {file} cannot be read: {reason}") from None
    for statement in parse_stream(io.StringIO(text)):
        if statement.error:
            line = statement.original.string.strip().splitlines()[0]
            raise LabError(
                f"{file}, line {statement.original.line}, is {line!r}. Not NAME=value, a comment"
                " or empty"
            )
    values = DotEnv(None, io.StringIO(text), override=False).dict()
    return {name: value for name, value in values.items() if value is not None}


def mistyped() -> Iterator[str]:
    """Yield a sentence for each variable that nothing reads, and that is named almost as a setting.

    One that says where a server is, clients are told, and no setting has that name.
    """
    texts = (file.read_text("utf-8") for name in KNOWN_IN if (file := ROOT / name).exists())
    known = {*re.findall(rf"{PREFIX}[A-Z0-9_]*[A-Z0-9]", " ".join(texts))}
    given = {name for name in os.environ if name.upper().startswith(PREFIX)}
    endings = [name.removeprefix(PREFIX) for name in known]
    for name in sorted(given - known):
        nearest = get_close_matches(name.upper().removeprefix(PREFIX), endings, 1, 0.75)
        if nearest and not name.endswith("_ADDRESS"):
            yield f"nothing reads {name}; did you mean {PREFIX}{nearest[0]}?"


def expanded(name: str, value: str) -> Path:
    """Return a path with ~ replaced, as the shell would; raises LabError for an unknown user's."""
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise LabError(f"{name} has value {value!r}. Not a path: nobody has that home") from None


def ca_bundle() -> str:
    """Return the file of certificates that the builds of images are to trust, or nothing.

    Raises LabError for a `WIRELAB_CA_BUNDLE` that is no file; the others are other programs'.
    """
    own, *others = (os.environ.get(name, "") for name in CA_VARIABLES)
    if own and not (ROOT / own).is_file():
        raise LabError(f"WIRELAB_CA_BUNDLE has value {own!r}. Not a file")
    return next(
        (str(ROOT / path) for path in [own, *others] if path and (ROOT / path).is_file()), ""
    )
