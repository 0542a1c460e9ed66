"""What `make swarm` has changed on the engines, for `make swarm-down` to undo: a file.

Each change is written down before it is made, so that an interrupted command leaves nothing that
nobody knows of.
"""

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab import ROOT, LabError, files
from lab.description import project
from lab.swarm.nodes import Node


def stack_name() -> str:
    """Return the name of the stack: not that of Compose's project, whose volumes stay its own."""
    return f"{project()}-swarm"


def folder() -> Path:
    """Return the folder of the record, and of the file that was deployed."""
    return ROOT / ".wirelab" / stack_name()


@dataclass
class Record:
    """The nodes of the lab, a manager first, and by their engines what was done to them.

    `joined` were brought into the swarm by us, the first of them by making it; `bridges` had no
    docker_gwbridge before; `images` are those that were loaded.
    """

    nodes: list[Node] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    bridges: list[str] = field(default_factory=list)
    images: dict[str, list[str]] = field(default_factory=dict)

    @property
    def manager(self) -> Node:
        """The node that commands go to."""
        return self.nodes[0]

    def keep(self, nodes: Sequence[Node]) -> None:
        """Have these nodes, in their order, before others that are known."""
        named = {node.engine for node in nodes}
        self.nodes = [*nodes, *(node for node in self.nodes if node.engine not in named)]
        self.save()

    def forget(self, node: Node) -> None:
        """Drop a node of which nothing is left."""
        self.nodes.remove(node)
        for engines in (self.joined, self.bridges):
            with suppress(ValueError):
                engines.remove(node.engine)
        self.images.pop(node.engine, None)
        self.save()

    def save(self) -> None:
        """Write it down; without nodes there is nothing to know."""
        if not self.nodes:
            shutil.rmtree(folder(), ignore_errors=True)
            with suppress(OSError):  # it holds what is not ours
                folder().parent.rmdir()
            return
        folder().mkdir(parents=True, exist_ok=True)
        files.write(folder() / "record.json", json.dumps(asdict(self), indent=2))


def load() -> Record:
    """Return what is written down; raises LabError for a file that is damaged."""
    file = folder() / "record.json"
    try:
        found = json.loads(file.read_text())
        found["nodes"] = [Node(**node) for node in found["nodes"]]
        return Record(**found)
    except FileNotFoundError:
        return Record()
    except (ValueError, TypeError, KeyError):
        raise LabError(f"{file} is damaged: without it nobody knows what to undo") from None
