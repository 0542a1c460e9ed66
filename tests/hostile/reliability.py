"""The table of docs/reliability.md, made of what the hostile tests have measured."""

import os
import platform
from dataclasses import dataclass, field

INTRODUCTION = """\
# What holds, and by how much

A server that works is one thing, one that goes on working while somebody means harm another. Each
row is a promise, the test in [tests/hostile](../tests/hostile) that holds it, and the figures which
that test measured: for the default server, and where there is one for a naive variant under the
same attack, so that one sees what the mechanism buys. "Good clients" are 20 well-behaved clients
that talk to the server all through the attack, each with several connections one after the other.

`make test` runs all of these tests; `make reliability` does, and writes this page; `make soak`
kills, pauses and cuts off the servers for longer. Nothing here was written by hand but this text
and what stands below the tables. The figures are of one machine: {machine}.
"""

LIMITS = """\
## What is not promised

- Whoever has more bandwidth, or more addresses, than the server has room for connections can keep
  others out: limits by address, and filters in front, are the business of the network.
- object-echo and rpc encrypt nothing, and a peer in the middle can relay the handshake: see
  [what neither can give you](../services/object_echo/README.md#what-neither-can-give-you).
- A disk that acknowledges what it has not written defeats every database: kv does as much as
  fdatasync does.
- The variants are there to fall. They listen on 127.0.0.1 only.
"""


@dataclass
class Row:
    """A promise, and what was measured of it."""

    section: str
    promise: str
    case: str
    test: str
    demand: str = ""
    by_default: str = ""
    by_naive: list[str] = field(default_factory=list)

    def limit(self, text: str) -> None:
        """Note what the test demands of the default server."""
        self.demand = text

    def default(self, figures: object) -> None:
        """Note what was measured of the default server."""
        self.by_default = str(figures)

    def naive(self, variant: str, figures: object) -> None:
        """Note what was measured of a variant that lacks the mechanism."""
        self.by_naive.append(f"{variant}: {figures}")


def document(rows: list[Row]) -> str:
    """Return the page: a section for each file of tests, and in it the tests as they stand."""
    release = platform.release().partition("-")[0]
    machine = f"Linux {release}, {os.cpu_count()} cores, Python {platform.python_version()}"
    sections: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        sections.setdefault(row.section, {}).setdefault(row.test, []).append(row)
    parts = [INTRODUCTION.format(machine=machine)]
    parts += [f"## {section}\n\n{table(tests)}" for section, tests in sections.items()]
    return "\n".join([*parts, LIMITS])


def table(tests: dict[str, list[Row]]) -> str:
    """Return rows as Markdown; what several servers promise, or several are asked, is said once."""
    lines = ["| promise | demanded | of | default | naive |", "|---|---|---|---|---|"]
    for test, rows in tests.items():
        file, _, name = test.partition("::")
        before: list[str] = []
        for row in rows:
            said = [f"{row.promise} ([{name}](../{file}))", row.demand]
            cells = [
                *([""] * 2 if said == before else said),
                row.case,
                row.by_default,
                "<br>".join(row.by_naive),
            ]
            before = said
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
