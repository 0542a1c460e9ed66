"""The end of the lab: `down`, which keeps the data of kv, and `distclean`, which keeps nothing."""

import shutil
from contextlib import suppress

from lab import ROOT, LabError, engine
from lab.console import console, step
from lab.local import Local
from lab.stack import Stack

OWN_IMAGES = ("wirelab-base:trixie", "wirelab-tools:trixie", "wirelab-interop:trixie")


def down() -> int:
    """Stop whichever lab runs; kv's data stays."""
    stopped = Local().down()
    if stopped:
        console.print(f"stopped {', '.join(stopped)}", soft_wrap=True)
    if engine.answers():
        Stack().check_own()
        Stack().down()
        return engine.shut_down()
    if not stopped:
        console.print("nothing runs, as far as can be known: no engine answers")
    return 0


def distclean() -> int:
    """Remove everything that the lab has made: containers, volumes, images, the key."""
    Local().down()
    others_run = False
    if shutil.which("dockerd") and not engine.answers():
        # Volumes and images can only be removed through a running engine.
        engine.set_up()
    if engine.answers():
        Stack().check_own()
        Stack().down(volumes=True, images=True)
        with step("removing the images that the lab has made for itself"):
            for image in OWN_IMAGES:
                with suppress(LabError):  # it may never have been made, or another lab uses it
                    engine.docker("image", "rm", image)
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
