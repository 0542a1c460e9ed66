"""How far `docker compose` is, as its lines of `--progress plain` say."""

import re
from collections.abc import Callable

IMAGE = re.compile(r"#\d+ naming to (?:\S*/)?([^\s:/]+)(?::\S+)?(?: [\d.]+s)? done")
BEGUN = re.compile(r"#(\d+) \[(?!.*internal\])(.+?)\] (.+)")
PIP = re.compile(r"#(\d+) [\d.]+ ((?:Collecting|Downloading|Installing) .+)")
CONTAINER = re.compile(r" Container (\S+) +(\w+)")
STATES = re.compile(r" (?:Container|Image|Network|Volume) \S+ +\w+$")

Say = Callable[[str], None]


def build(say: Say, total: int) -> Say:
    """Return what takes each line of a build, and says which images there are, and what goes on."""
    images: set[str] = set()
    steps: dict[str, str] = {}

    def read(line: str) -> None:
        current = ""
        if named := IMAGE.match(line):
            images.add(named[1])
        elif begun := BEGUN.match(line):
            command = re.sub(r"--mount=\S+\s+", "", begun[3])
            steps[begun[1]] = begun[2]
            current = f"{begun[2]}: {command}"
        elif pip := PIP.match(line):
            # After the name of a package, pip says which line of which file asks for it.
            current = f"{steps.get(pip[1], 'packages')}: {pip[2].partition(' (from')[0]}"
        else:
            return
        say(f"{len(images)} of {total} images" + (f", {current}" if current else ""))

    return read


def containers(say: Say, state: str) -> Say:
    """Return what takes each line of `up` or `down`, and says how many containers are in `state`.

    `state` is a word of Compose's, such as Healthy or Removed.
    """
    states: dict[str, str] = {}

    def read(line: str) -> None:
        if found := CONTAINER.match(line):
            states[found[1]] = found[2]
            done = list(states.values()).count(state)
            say(f"{done} of {len(states)} {state.lower()}")

    return read


def failed_step(output: str) -> str:
    """Return what a build that failed says of it; all that went well stands above the dashes."""
    _, dashes, failed = output.partition("------\n")
    lines = [line for line in output.splitlines() if line and not line.startswith("#")]
    return failed if dashes else "\n".join(lines)


def without_states(output: str) -> str:
    """Return what Compose printed without its lines about containers, networks and volumes."""
    return "\n".join(line for line in output.splitlines() if not STATES.match(line))
