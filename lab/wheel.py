"""The wheel: the pytest plugin and all that it imports, as one package `wirelab`.

pyproject.toml names this module as what builds the project (PEP 517), so `pip wheel .` and
`pip install .` work, and need nothing but the standard library.

In a clone the plugin lives in three packages, whose names are not ours alone. In the wheel they
are one:

    lab       is wirelab           lab.testing.plugin    is wirelab.testing.plugin
    clients   is wirelab.clients   clients.relay         is wirelab.clients.relay
    services  is wirelab.services  services.wire.record  is wirelab.services.wire.record

The modules are those that the plugin imports, those that these import, and so on. In each of them
`from lab.compose import` becomes `from wirelab.compose import`, and nothing else changes.
"""

import ast
import base64
import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from lab import ROOT, LabError
from services.version import VERSION

PLUGIN = "lab.testing.plugin"
PACKAGES = {"lab": "wirelab", "clients": "wirelab.clients", "services": "wirelab.services"}
NAME = f"wirelab-{VERSION}-py3-none-any.whl"
ABOUT = f"wirelab-{VERSION}.dist-info"


class UnsupportedOperation(LabError):
    """PEP 517 wants an exception of this name where something cannot be built."""


def build_wheel(
    wheel_directory: str,
    config_settings: Mapping[str, Any] | None = None,  # noqa: ARG001 - as PEP 517 has it
    metadata_directory: str | None = None,  # noqa: ARG001 - as PEP 517 has it
) -> str:
    """Write the wheel into a folder, and return its name; the same source is the same file."""
    files = contents()
    files[f"{ABOUT}/RECORD"] = record(files)
    with ZipFile(Path(wheel_directory, NAME), "w", ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = ZipInfo(name)  # of 1980: what a file says is not when it was written
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return NAME


def build_sdist(
    sdist_directory: str,  # noqa: ARG001 - as PEP 517 has it
    config_settings: Mapping[str, Any] | None = None,  # noqa: ARG001 - as PEP 517 has it
) -> str:
    """Raise UnsupportedOperation: the source is the repository."""
    raise UnsupportedOperation("there is no archive of the source but the repository itself")


def contents() -> dict[str, bytes]:
    """Return the files of the wheel but for its record."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = project["entry-points"].items()
    return {
        **{place(name, path): code(path) for name, path in sorted(modules().items())},
        "wirelab/py.typed": b"",  # PEP 561: type checkers may read it
        f"{ABOUT}/METADATA": metadata(project),
        f"{ABOUT}/WHEEL": f"Wheel-Version: 1.0\nGenerator: wirelab {VERSION}\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n".encode(),
        f"{ABOUT}/entry_points.txt": "".join(
            f"[{group}]\n" + "".join(f"{name} = {what}\n" for name, what in entries.items())
            for group, entries in points
        ).encode(),
        f"{ABOUT}/licenses/LICENSE": (ROOT / "LICENSE").read_bytes(),
    }


def modules() -> dict[str, Path]:
    """Return the modules of the wheel, by their names in a clone."""
    found: dict[str, Path] = {}
    wanted = [PLUGIN]
    while wanted:
        name = wanted.pop()
        path = file_of(name)
        if path and name not in found:
            found[name] = path
            wanted += [name.rpartition(".")[0], *imported(path)]
    return found


def file_of(name: str) -> Path | None:
    """Return the file of a module of ours; None for somebody else's, and for what is in a file."""
    if name.partition(".")[0] not in PACKAGES:
        return None
    path = ROOT.joinpath(*name.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py"))
                 if file.is_file()), None)  # fmt: skip


def imported(path: Path) -> Iterator[str]:
    """Yield what a module imports from ours, anywhere in it: each module, and each name in it."""
    for node in of_ours(path):
        yield str(node.module)
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def of_ours(path: Path) -> Iterator[ast.ImportFrom]:
    """Yield the statements by which a module imports ours; LabError for one in another form."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom):
            if str(node.module).partition(".")[0] in PACKAGES:
                yield node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in PACKAGES:
                    raise LabError(
                        f"{path}, line {node.lineno}: `import {alias.name}` has no form in the"
                        f" wheel: `from {alias.name} import ...` has one"
                    )


def code(path: Path) -> bytes:
    """Return a module as it is in the wheel."""
    lines = path.read_text(encoding="utf-8").split("\n")
    for node in of_ours(path):
        before, after = f"from {node.module} ", f"from {in_wheel(str(node.module))} "
        lines[node.lineno - 1] = lines[node.lineno - 1].replace(before, after, 1)
    return "\n".join(lines).encode()


def in_wheel(name: str) -> str:
    """Return the name that a module has in the wheel."""
    package, dot, rest = name.partition(".")
    return f"{PACKAGES[package]}{dot}{rest}"


def place(name: str, path: Path) -> str:
    """Return where a module is in the wheel."""
    folder = in_wheel(name).replace(".", "/")
    return f"{folder}/__init__.py" if path.name == "__init__.py" else f"{folder}.py"


def metadata(project: Mapping[str, Any]) -> bytes:
    """Return what pip is to know (Core metadata specifications, 2.4)."""
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {VERSION}",
        f"Summary: {project['description']}",
        f"License-Expression: {project['license']}",
        "License-File: LICENSE",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {package}" for package in project["dependencies"]),
        "Description-Content-Type: text/markdown",
        "",
        (ROOT / project["readme"]).read_text(encoding="utf-8"),
    ]
    return "\n".join(lines).encode()


def record(files: Mapping[str, bytes]) -> bytes:
    """Return the list of the files with their hashes, in which it stands itself without one.

    It is `RECORD` of the binary distribution format.
    """
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        lines.append(f"{name},sha256={digest},{len(data)}")
    return "\n".join([*lines, f"{ABOUT}/RECORD,,", ""]).encode()
