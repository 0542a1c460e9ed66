"""The table of docs/reliability.md, made of what the hostile tests have measured."""

import os
import platform
import sys
from dataclasses import dataclass, field
from itertools import groupby

INTRODUCTION = """\
# What holds, and by how much

A server that works is one thing, one that goes on working while somebody means harm another. Each
row is a promise, the test in [tests/hostile](../tests/hostile) that holds it, and the figures which
that test measured: for the default server, and where there is one for a naive variant under the
same attack, so that one sees what the mechanism buys. "Good clients" are 20 well-behaved clients
that talk to the server all through the attack, each with several connections one after the other.

`make test` runs all of these tests; `make reliability` does, and writes this page; `make soak`
runs those that gain by it for longer. Nothing here was written by hand but this text and what
stands below the tables. The figures are of one machine: {machine}.
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
    """Return the page."""
    cores = os.cpu_count()
    machine = (
        f"{platform.system()} {platform.release()}, {cores} cores, Python {sys.version.split()[0]}"
    )
    parts = [INTRODUCTION.format(machine=machine)]
    for section, found in groupby(sorted(rows, key=lambda row: row.test), lambda row: row.section):
        parts.append(f"## {section}\n\n{table(list(found))}")
    return "\n".join([*parts, LIMITS])


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown; a promise that several servers make is said once."""
    lines = ["| promise | demanded | default | naive |", "|---|---|---|---|"]
    before = ""
    for row in rows:
        file, _, name = row.test.partition("::")
        promise = f"{row.promise} ([{name}](../{file}))" if row.test != before else ""
        before = row.test
        label = f"{row.case}: " if row.case else ""
        cells = [promise, row.demand, label + row.by_default, "<br>".join(row.by_naive) or "-"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
