"""What runs on the host: the stack of compose.yaml, the same servers as processes, `make`'s tasks.

`description` is what compose.yaml says, `stack` runs it with `docker compose` (`compose` any such
project), `swarm` on several machines, `local` without an engine; the other modules are the steps of
the commands in `__main__`.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"


class LabError(Exception):
    """Something that the person at the keyboard has to know; the message is the whole of it."""
