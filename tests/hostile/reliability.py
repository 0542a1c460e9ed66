"""The table of docs/reliability.md, made of what the hostile tests have measured."""

import os
import platform
from dataclasses import dataclass, field

from tests.hostile.well_behaved import FACTOR, FLOOR

INTRODUCTION = """\
# What the servers withstand

A server that works is one thing, a server that goes on working under attack is another. Each row is
a promise, the test in [tests/hostile](../tests/hostile) that holds it, and the figures which that
test measured: for the default driver and each other one that promises the same (large attacks on
these have a quarter of the size), and where there is one for a naive driver under the same attack,
so that one sees what the mechanism buys. "Clients served" are 20 well-behaved clients that talk to
the server all through the attack, each with several connections one after the other; "p99" is what
99 of 100 of their requests take at most during the attack, and "quiet" what they take before it.
"All served" demands that every request of every client is answered rightly, and a p99 of at most
{factor} times the quiet one plus {floor} ms.

`make test` runs all of these tests; `make reliability` does, and writes this page; `make soak`
kills, pauses and disconnects the servers for longer. Nothing here was written by hand but this text
and what stands below the tables. The figures are of one machine: {machine}.
"""

LIMITS = """\
## What is not promised

- Attackers with more bandwidth than the server's network, or more connections than the server may
  have, can keep others out: limits by address, and filters in front, are the network's job.
- object-echo and rpc encrypt nothing, and a peer in the middle can relay the handshake: see
  [what they lack](../services/object_echo/README.md#what-none-of-them-can-give-you).
- A disk that acknowledges what it has not written defeats every database: kv does as much as
  fdatasync does.
- The naive drivers do not withstand attacks, and show that. They listen on 127.0.0.1 only.
"""


@dataclass
class Row:
    """A promise, and what was measured of it."""

    section: str
    promise: str
    case: str
    test: str
    service: str = ""
    demand: str = ""
    by_safe: str = ""
    by_naive: list[str] = field(default_factory=list)

    def limit(self, text: str) -> None:
        """Note what the test demands of a safe driver."""
        self.demand = text

    def safe(self, figures: object) -> None:
        """Note what was measured of a safe driver."""
        self.by_safe = str(figures)

    def naive(self, driver: str, figures: object) -> None:
        """Note what was measured of a driver, or a client, that lacks the mechanism."""
        self.by_naive.append(f"{driver}: {figures}")


def document(rows: list[Row]) -> str:
    """Return the page: a section for each file of tests, and in it the tests as they stand."""
    release = platform.release().partition("-")[0]
    machine = f"Linux {release}, {os.cpu_count()} cores, Python {platform.python_version()}"
    sections: dict[str, dict[str, list[Row]]] = {}
    for row in beside(rows):
        sections.setdefault(row.section, {}).setdefault(row.test, []).append(row)
    parts = [INTRODUCTION.format(machine=machine, factor=FACTOR, floor=round(1000 * FLOOR))]
    parts += [f"## {section}\n\n{table(tests)}" for section, tests in sections.items()]
    return "\n".join([*parts, LIMITS])


def beside(rows: list[Row]) -> list[Row]:
    """Return the rows, with what a naive driver did beside what the default of its service did."""
    defaults: dict[tuple[str, str], Row] = {}
    for row in rows:
        default = defaults.setdefault((row.test, row.service or row.case), row)
        if default is not row and not row.by_safe:
            default.by_naive += row.by_naive
    return [row for row in rows if row.by_safe or row in defaults.values()]


def table(tests: dict[str, list[Row]]) -> str:
    """Return rows as Markdown; what several servers promise, or several are asked, is said once."""
    lines = ["| promise | demanded | of | measured | naive |", "|---|---|---|---|---|"]
    for test, rows in tests.items():
        file, _, name = test.partition("::")
        demanded = None
        for number, row in enumerate(rows):
            cells = [
                "" if number else f"{row.promise} ([{name}](../{file}))",
                "" if row.demand == demanded else row.demand,
                row.case,
                row.by_safe,
                "<br>".join(row.by_naive),
            ]
            demanded = row.demand
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
