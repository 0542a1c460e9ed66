"""The kit: one archive with all that the lab needs on a machine without a network.

    wirelab-kit-1.0.0-debian12-x86_64/
      install           scripts/install.sh
      contents          sum, size and path of every file, which `install` compares
      wirelab/          the source, as in a clone, and in it
        kit/made_on     the system that it was made on
        kit/built_from  the digest of what the images were built from
        kit/images.tar.xz  `docker save` of the images, the base among them
        kit/packages/   Debian packages for a bare machine, an archive for apt
        kit/plugins/    those with Compose and buildx, where the system has none that will do
        kit/wheels/     the wheels of the lock files, and these

Whatever installs something looks into the folder kit/ first: scripts/common.sh for packages,
scripts/base_image.sh for images, the Dockerfile for wheels. So `make up` needs no network there,
also after a change of a server. What took long is kept in build/kit/parts for the next time.
"""

import hashlib
import io
import lzma
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import yaml
from packaging.markers import Marker

from lab import ROOT, SCRIPTS, LabError, engine, interrupts, kit
from lab.console import say, step
from lab.stack import Stack
from services.version import VERSION

FOLDER = ROOT / "build" / "kit"
PARTS = FOLDER / "parts"
PYTHONS = ("3.11", "3.12", "3.13")  # that the lab runs on, and its images
CHUNK = 1024 * 1024  # bytes at a time

Say = Callable[[str], None]


def make() -> Path:
    """Make the kit, and return the archive; raises LabError that names what cannot be had."""
    status = engine.set_up()
    if status:
        raise LabError("a kit has images in it, and takes an engine to be made")
    PARTS.mkdir(parents=True, exist_ok=True)
    system = made_on()
    name = f"wirelab-kit-{VERSION}-{'-'.join(system.replace(' ', '', 1).split())}"
    files = {f"wirelab/{path}": ROOT / path for path in source()}
    files["install"] = SCRIPTS / "install.sh"
    files["wirelab/kit/images.tar.xz"] = images()
    for folder in (wheels(), *packages()):
        files |= {f"wirelab/kit/{folder.name}/{path.name}": path for path in folder.iterdir()}
    texts = {"wirelab/kit/made_on": f"{system}\n", "wirelab/kit/built_from": f"{kit.digest()}\n"}
    archive = FOLDER / f"{name}.tar"
    with step(f"packing {len(files)} files") as packing, complete(archive) as aside:
        pack(aside, name, files, texts, packing.say)
    for old in FOLDER.glob("*.tar"):
        if old != archive:
            old.unlink()
    say(f"{archive.relative_to(ROOT)}: {archive.stat().st_size / 1e6:.0f} MB, made on {system}")
    return archive


def made_on() -> str:
    """Return what the kit's packages are for: the system, its release and the CPU."""
    command = ["bash", "-c", '. "$0/common.sh" && system', str(SCRIPTS)]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def source() -> list[str]:
    """Return the files of the repository, with what is new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, check=False, text=True, capture_output=True)
    if done.returncode:
        raise LabError(f"a kit is made from a clone, and {ROOT} is none: {done.stderr.strip()}")
    found = sorted(name for name in done.stdout.split("\0") if (ROOT / name).is_file())
    if spaces := [name for name in found if " " in name]:
        raise LabError(f"the list of a kit has no spaces in names, and there is {spaces[0]!r}")
    return found


def images() -> Path:
    """Build all images of compose.yaml and the one with tcpdump; return them as one file."""
    stack = Stack()
    base = stack.settings["PYTHON_IMAGE"] = engine.base_image()
    blocks = yaml.safe_load(stack.compose("config").stdout)["services"]
    stack.build(*(name for name, block in blocks.items() if "build" in block))  # of all profiles
    names = sorted(
        {*stack.compose("config", "--images").stdout.split(), base, engine.tool_image("tools")}
    )
    ids = engine.docker("image", "inspect", "--format", "{{.Id}}", *names)
    file = PARTS / f"images-{digest([*names, *ids.split()])}.tar.xz"
    if not file.exists():
        with step(f"saving {len(names)} images") as saving, complete(file) as aside:
            command = ["docker", "save", *names]
            with (
                subprocess.Popen(command, stdout=subprocess.PIPE, env=engine.environment()) as save,
                lzma.open(aside, "wb", preset=0) as output,
            ):
                done = 0
                while save.stdout and (data := save.stdout.read(CHUNK)):
                    output.write(data)
                    done += len(data)
                    saving.say(f"{done / 1e6:.0f} MB")
            if save.returncode:
                raise LabError(f"docker save {' '.join(names)} failed")
        forget("images-*", file)
    return file


def wheels() -> Path:
    """Download the wheels of the lock files that `make up` installs, for each Python."""
    locks = [ROOT / f"requirements/{name}.txt" for name in ("dev", *image_locks())]
    texts = [lock.read_text() for lock in locks]
    folder = PARTS / f"of-{digest([*PYTHONS, *texts])}" / "wheels"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=PARTS) as name:
            aside = Path(name, "wheels")
            aside.mkdir()
            for python in PYTHONS:
                with step(f"downloading the wheels for Python {python}"):
                    download(python, texts, aside)
            for lock in locks:
                shutil.copy(lock, aside)
            folder.parent.mkdir(exist_ok=True)
            aside.rename(folder)
        forget("of-*", folder.parent)
    return folder


def image_locks() -> list[str]:
    """Return the names of the lock files that the images are built with."""
    document = yaml.safe_load(Stack().compose("config").stdout)
    builds = [block.get("build", {}) for block in document["services"].values()]
    return sorted({build["args"]["LOCK"] for build in builds if "LOCK" in build.get("args", {})})


def download(python: str, texts: list[str], folder: Path) -> None:
    """Download the packages of lock files into a folder; raises LabError with what pip said."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as lock:
        lock.write(
            "\n".join(dict.fromkeys(line for text in texts for line in pinned(text, python)))
        )
        lock.flush()
        done = interrupts.run(
            [
                sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                "--no-deps", "--require-hashes", "--only-binary", ":all:",
                "--python-version", python, "--dest", str(folder), "--requirement", lock.name,
            ],
            capture=True,
        )  # fmt: skip
    if done.returncode:
        raise LabError(f"pip download for Python {python} failed:\n{done.stderr.strip()}")


def pinned(text: str, python: str) -> Iterator[str]:
    """Yield the packages of a lock file that a Python of this system gets, a line each.

    pip itself looks at the markers of the Python that it runs in.
    """
    for line in text.replace("\\\n", " ").splitlines():
        package, _, hashes = line.partition(" --hash=")
        name, _, marker = package.partition(" ; ")
        versions = {"python_version": python, "python_full_version": f"{python}.0"}
        if not marker.strip() or Marker(marker.strip()).evaluate(versions):
            yield f"{name.strip()} --hash={hashes}"


def packages() -> list[Path]:
    """Download the Debian packages for a bare machine; return their folders, none elsewhere."""
    if not shutil.which("apt-get"):
        say("no apt here: the kit has no packages, and takes an engine that is there")
        return []
    if engine.script("engine.sh", "packages", str(PARTS)):
        raise LabError("the Debian packages of the kit cannot be had")
    return [folder for name in ("packages", "plugins") if (folder := PARTS / name).is_dir()]


def pack(
    archive: Path, name: str, files: Mapping[str, Path], texts: Mapping[str, str], said: Say
) -> None:
    """Write files and texts into an archive, below a folder `name`, and the list of them all."""
    contents = []
    with tarfile.open(archive, "w") as output:

        def add(path: str, data: BinaryIO) -> None:
            sum_ = hashlib.file_digest(data, "sha256").hexdigest()  # type: ignore[arg-type]
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = data.seek(0, io.SEEK_END)
            entry.mode = 0o755 if path == "install" else 0o644
            data.seek(0)
            output.addfile(entry, data)
            contents.append(f"{sum_} {entry.size} {path}\n")

        for number, (path, file) in enumerate(sorted(files.items())):
            said(f"{number} of {len(files)}, {path}")
            with file.open("rb") as data:
                add(path, data)
        for path, text in texts.items():
            add(path, io.BytesIO(text.encode()))
        add("contents", io.BytesIO("".join(contents).encode()))


@contextmanager
def complete(file: Path) -> Iterator[Path]:
    """Lend a path to write to, which gets its name when it is complete and goes if it never is."""
    aside = file.with_name(f".{file.name}.new")
    try:
        yield aside
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


def forget(pattern: str, but: Path) -> None:
    """Remove the parts of earlier kits."""
    for path in PARTS.glob(pattern):
        if path != but:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def digest(texts: Iterable[str]) -> str:
    """Return the first digits of a digest of some texts, for the name of what is made of them."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
