"""`make workshop-ready`: all that the lessons need is fetched and built, and then proved.

`make` has made .venv by then, which is all that most lessons need. The proof is `proof`, run where
there is no network.
"""

import subprocess
import sys

from lab import ROOT, authkey, engine, interrupts
from lab.cut_off import NOT_ALLOWED
from lab.stack import Stack
from lab.workshop.lesson import WITH_ENGINE, lessons
from lab.workshop.speaker import Speaker

PROOF = [sys.executable, "-m", "lab.workshop.proof"]


def ready() -> int:
    """Build the images where an engine answers; prove the lessons; return 1 if something fails."""
    speaker = Speaker()
    speaker.line()
    if engine.answers():
        authkey.ensure(authkey.path())
        stack = Stack()
        stack.settings["PYTHON_IMAGE"] = engine.base_image()
        stack.build(profile="cluster")
        speaker.say("ready_images")
    else:
        numbers = [str(each.number) for each in lessons() if each.needs in WITH_ENGINE]
        speaker.say("ready_no_engine", lessons=", ".join(numbers))
    speaker.line()
    speaker.console.file.flush()
    allowed = subprocess.run(
        [sys.executable, "-m", "lab.cut_off", "true"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    cut = [] if allowed.returncode == NOT_ALLOWED else [sys.executable, "-m", "lab.cut_off"]
    if cut:
        speaker.say("ready_cut", "bold")
    else:
        speaker.say("ready_not_cut", "bold yellow", reason=allowed.stderr.strip())
    speaker.console.file.flush()
    status = interrupts.run([*cut, *PROOF], cwd=ROOT).returncode
    speaker.line()
    if status:
        speaker.say("ready_missing", "bold red")
    else:
        speaker.say("ready_done", "bold green")
    return int(status != 0)
