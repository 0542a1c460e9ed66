"""What an engine or Compose says when it fails, and what it takes to go on."""

import re

# Some engines break off a build now and then, whatever it is of; another attempt goes through
# (docker/buildx, issue 2064).
BROKE_OFF = "error reading from server: EOF"

REASONS = {
    r"non-overlapping IPv\d address pool|address pools have been fully subnetted": (
        "The engine has no addresses left for another network. `docker network prune` removes"
        " networks that no container uses; `default-address-pools` in the engine's daemon.json"
        " gives it more"
    ),
    r"no space left on device": (
        "The disk of the engine is full. `docker system df` says with what, `docker system prune`"
        " removes what no container uses"
    ),
    r"port is already allocated|address already in use|[Pp]orts? are not available": (
        "Somebody took the port in the meantime: `make doctor` says who has it"
    ),
    r"cannot assign requested address": "WIRELAB_BIND is not an address of the engine's machine",
    r"has active endpoints": (
        "A container that is not the lab's is on its network: `docker network inspect` says which"
        " one, and `docker network disconnect -f NETWORK CONTAINER` takes it off. Where it shows"
        " none, the engine has lost count and has to be restarted"
    ),
    r"volume is in use": (
        "A container that is not the lab's has the volume: `docker ps --all --filter volume=NAME`"
        " says which one"
    ),
    r"pull access denied|failed to resolve source metadata|manifest unknown|[Nn]o such image": (
        "An image is missing, and no registry answers for it. `make up` builds those of the lab;"
        " the one that they are built from is PYTHON_IMAGE"
    ),
    r"permission denied while trying to connect": (
        "This user may not use the engine: add the user to the group docker, then log in again"
    ),
    r"Cannot connect to the Docker daemon": (
        "The engine does not answer any more: `make doctor` says what is there"
    ),
}


def explained(said: str) -> str:
    """Return what an engine said, with what to do about it below where that is known."""
    advice = next((reason for text, reason in REASONS.items() if re.search(text, said)), "")
    return "\n".join(part for part in (said.strip(), advice) if part)
