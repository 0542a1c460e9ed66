"""The end of the lab: `down`, which keeps the data of kv, and `distclean`, which keeps nothing."""

import shutil
from collections.abc import Iterable
from contextlib import suppress

from lab import ROOT, LabError, engine
from lab.compose import PROJECT_LABEL
from lab.console import console, say, step
from lab.local import Local
from lab.stack import Stack
from lab.swarm import commands as swarm
from lab.up import say_stopped
from lab.workshop import cluster

OWN_IMAGES = (
    "wirelab-base:trixie", "wirelab-tools:trixie", "wirelab-interop:trixie",
    "wirelab-tshark:trixie", "wirelab-browser:trixie", "wirelab-sshd:trixie",
)  # fmt: skip


def down() -> int:
    """Stop whichever lab runs; kv's data stays."""
    stopped = Local().down()
    if stopped:
        say(f"stopped {', '.join(stopped)}")
    strays = Local().stop_strays()
    say_stopped(strays)
    if engine.answers():
        stack = Stack()
        stack.check_own()
        cluster.remove_if_there()
        if not stack.is_down():
            stack.down()
        elif not (stopped or strays):
            on_swarm = " but the lab on a swarm: `make swarm-down` removes it"
            say(f"nothing runs{on_swarm if swarm.is_deployed() else ''}")
        return engine.shut_down()
    if not (stopped or strays):
        say("nothing runs, as far as can be known: no engine answers")
    return 0


def distclean() -> int:
    """Remove everything that the lab has made: containers, volumes, images, the key."""
    Local().down()
    say_stopped(Local().stop_strays())
    others_run = False
    if shutil.which("dockerd") and not engine.answers():
        # Volumes and images can only be removed through a running engine.
        engine.set_up()
    swarm.down_if_there()
    if engine.answers():
        Stack().check_own()
        cluster.remove_if_there()
        Stack().down(volumes=True, images=True)
        with step("removing the images that the lab has made for itself"):
            remove_shared_images()
        here = f"label=com.docker.compose.project.working_dir={ROOT}"
        others_run = bool(engine.docker("ps", "--quiet", "--filter", here))
        engine.shut_down()
    shutil.rmtree(Local().folder, ignore_errors=True)
    if list(ROOT.glob(".wirelab/*/running.json")) or others_run:
        console.print("secrets/authkey stays: another lab of this folder runs with it")
    else:
        (ROOT / "secrets" / "authkey").unlink(missing_ok=True)
        for folder in (ROOT / "secrets", ROOT / ".wirelab"):
            with suppress(OSError):  # it does not exist, or holds what is not the lab's
                folder.rmdir()
    return 0


def remove_shared_images() -> None:
    """Remove the images that all labs of an engine share, but for what other labs are built on.

    The label `wirelab.base` of an image is the name of its base, also of those that share it.
    """
    kept: list[str] = []
    built_on_them: set[str] = set()
    for image in OWN_IMAGES:
        label = '{{index .Config.Labels "wirelab.base"}}'
        with suppress(LabError):  # it may never have been made
            base = engine.docker("image", "inspect", "--format", label, image).strip() or image
            named = engine.docker(
                "image", "ls", "--filter", f"label=wirelab.base={base}",
                "--filter", "dangling=false", "--format", "{{.Repository}}:{{.Tag}}",
            )  # fmt: skip
            if others := set(named.split()) - set(OWN_IMAGES):
                kept.append(image)
                built_on_them |= others
            else:
                engine.docker("image", "rm", image)
    if kept:
        count, whose = len(built_on_them), ", ".join(owners(built_on_them))
        said = f"kept, for {count} {'image' if count == 1 else 'images'} of {whose}"
        console.print(f"{', '.join(kept)}: {said}", soft_wrap=True)


def owners(images: Iterable[str]) -> list[str]:
    """Return the labs that images belong to; of an image of no lab, its own name."""
    label = f'{{{{index .Config.Labels "{PROJECT_LABEL}"}}}}'
    found = set()
    for image in images:
        with suppress(LabError):  # removed meanwhile
            lab = engine.docker("image", "inspect", "--format", label, image).strip()
            found.add(lab or image)
    return sorted(found)
