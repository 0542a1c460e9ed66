"""The program etcd: from the lab's image of it, to be run here as the other servers are."""

from bench.peers.kv.etcd import PROGRAM
from lab import engine
from lab.compose import PROJECT_LABEL
from lab.stack import Stack

IN_IMAGE = "/usr/bin/etcd"


def provide() -> bool:
    """Have the program, and return whether it is there: the first time it takes an engine.

    The image is built if there is none. Raises LabError where that fails.
    """
    if PROGRAM.exists():
        return True
    if not engine.answers():
        return False
    stack = Stack()
    stack.settings["PYTHON_IMAGE"] = engine.base_image()
    image = f"{stack.project}-etcd"
    if not engine.has_image(image):
        stack.build("etcd-1")
    # Without this label it has that of its image, and is a container of the lab.
    container = engine.docker("create", "--label", f"{PROJECT_LABEL}=", image, "etcd").strip()
    copied = PROGRAM.with_suffix(".new")
    try:
        engine.docker("cp", f"{container}:{IN_IMAGE}", str(copied))
    finally:
        engine.docker("rm", "--volumes", container)
    copied.replace(PROGRAM)
    return True
