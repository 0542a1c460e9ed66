"""Which clients are tried on which server, what their users see, and the page that says so.

A client is a program in the folder of its language. It prints a line of JSON for each check: its
name, whether it passed (null: the client cannot make it), and what happened otherwise.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

PROGRAMS = Path(__file__).parent
CHECK = re.compile(r"\b(?:check|check_echo|absent)[\s(]+([\"'])(\w[^\"']*)\1")


class Client(NamedTuple):
    """A client: its name on the page, its software as versions.sh calls it, and its program."""

    name: str
    software: tuple[str, ...]
    command: tuple[str, ...]
    program: str

    @property
    def checks(self) -> list[str]:
        """The names of its checks, in the order in which its program makes them."""
        return [name for _, name in CHECK.findall((PROGRAMS / self.program).read_text())]


class Outcome(NamedTuple):
    """What a check came to; `ok` is None where the client cannot make it."""

    check: str
    ok: bool | None
    detail: str


class Deviation(NamedTuple):
    """A check that fails, as the client has it: a part of what it prints, and what that means."""

    printed: str
    note: str


@dataclass(frozen=True)
class Section:
    """A table of the page: clients, where they are pointed to, and what is known to fail."""

    title: str
    arguments: tuple[str, ...]
    clients: tuple[Client, ...]
    deviations: Mapping[str, Mapping[str, Deviation]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.title


RUBY = Client("Ruby", ("Ruby", "xmlrpc (gem)"), ("ruby",), "ruby/xml_rpc.rb")
FRONTIER = Client("Perl, Frontier", ("Perl", "Frontier::Client"), ("perl",), "perl/frontier.pl")
RPC_XML = Client("Perl, RPC::XML", ("Perl", "RPC::XML"), ("perl",), "perl/rpc_xml.pl")
PHP = Client("PHP", ("PHP", "xmlrpc (PECL)"), ("php",), "php/xml_rpc.php")
NODE = Client("Node.js", ("Node.js", "xmlrpc (npm)"), ("node",), "node/xml_rpc.mjs")
JAVA = Client("Java", ("Java", "aXMLRPC"), ("sh", "java/run.sh"), "java/XmlRpc.java")
XML_RPC = (RUBY, FRONTIER, RPC_XML, PHP, NODE, JAVA)
HTTP = (
    Client("curl", ("curl",), ("bash",), "shell/http.sh"),
    Client("Node.js", ("Node.js",), ("node",), "node/http.mjs"),
    Client("Java", ("Java",), ("sh", "java/run.sh"), "java/Http.java"),
)
PYTHON = tuple(
    Client(f"Python 3.{minor}", (f"Python 3.{minor}",), (), "python/connection.py")
    for minor in (11, 12, 13)
)

NO_SET = "Raises on the nil that `set` and `delete` return."
# What does not set or delete anything, and so has nothing to do with nil.
WITHOUT_SET = ("fault", "listMethods", "methodHelp", "methodSignature", "keep-alive", "nil")
EMOJI = Deviation("content must be bytes", "Cannot send characters beyond U+FFFF.")
PHP_NIL = Deviation("'' instead of", "Sends null as an empty text.")
ENTITIES = Deviation(
    "<b>& ", "Decodes entities twice, unless it is made with `FLAGS_NO_STRING_DECODE`."
)


def raises_on_nil(client: Client, printed: str, **more: Deviation) -> dict[str, Deviation]:
    """Return what fails at a client which does not know nil."""
    deviation = Deviation(printed, NO_SET)
    setting = [name for name in client.checks if name not in WITHOUT_SET]
    return {**dict.fromkeys(setting, deviation), **more}


SECTIONS = (
    Section(
        "XML-RPC: kv at /RPC2",
        ("http://kv:15000/RPC2",),
        XML_RPC,
        {
            RUBY.name: raises_on_nil(RUBY, "wrong/unknown XML-RPC type 'nil'"),
            FRONTIER.name: raises_on_nil(FRONTIER, "wanted a data type, got `nil'", emoji=EMOJI),
            PHP.name: {"nil": PHP_NIL},
            JAVA.name: raises_on_nil(JAVA, "No deserializer found for type 'nil'"),
        },
    ),
    Section(
        "XML-RPC: kv at /RPC2/1999",
        ("http://kv:15000/RPC2/1999",),
        XML_RPC,
        {
            FRONTIER.name: {"emoji": EMOJI},
            PHP.name: {"nil": PHP_NIL},
            JAVA.name: {"markup": ENTITIES},
        },
    ),
    Section("HTTP: rest and httpbin", ("http://rest:8080", "http://httpbin:8081"), HTTP),
    Section(
        "multiprocessing.connection: object-echo and rpc",
        ("object-echo:25000", "rpc:17000", "/authkey"),
        PYTHON,
    ),
)


def read(printed: str) -> list[Outcome]:
    """Return the outcomes that a program has printed."""
    return [Outcome(**json.loads(line)) for line in printed.splitlines()]


def unexpected(section: Section, client: Client, outcomes: Iterable[Outcome]) -> list[str]:
    """Return a sentence for each outcome that is not what is known of this client."""
    known = section.deviations.get(client.name, {})
    found = []
    for check, ok, detail in outcomes:
        if ok is False and (check not in known or known[check].printed not in detail):
            found.append(f"{check} fails: {detail}")
        if ok and check in known:
            found.append(f"{check} passes, and is known to fail: {known[check].note}")
    return found


Results = dict[tuple[str, str], list[Outcome]]  # by the title of a section and a client's name

INTRODUCTION = """\
# Clients in other languages

`make interop` runs the programs of [tests/interop](../tests/interop) against the containers, and
writes this page. Each makes the same checks in its own language, the way its users would: ✓ is
passed, ✗ is what happens instead, — is something that the client does not have. A client that
raises on nil belongs at [`/RPC2/1999`](../services/kv/README.md).
"""
MISSING = "Not run: there was no such Python where this page was written."


def document(results: Results, versions: dict[str, str]) -> str:
    """Return the page: a table for each section, with notes below it.

    `versions` has for a name of software what stands on the page, such as "Ruby 3.3.8".
    """
    return "\n".join([INTRODUCTION, *(_table(section, results, versions) for section in SECTIONS)])


def _table(section: Section, results: Results, versions: dict[str, str]) -> str:
    notes: list[str] = []

    def noted(mark: str, note: str) -> str:
        if note not in notes:
            notes.append(note)
        return f"{mark} ({notes.index(note) + 1})"

    def cell(client: Client, check: str) -> str:
        outcomes = {each.check: each for each in results.get((section.title, client.name), [])}
        if check not in outcomes:
            return noted("—", MISSING)
        if outcomes[check].ok is None:
            return noted("—", outcomes[check].detail)
        if outcomes[check].ok:
            return "✓"
        return noted("✗", section.deviations[client.name][check].note)

    heads = [
        "<br>".join(versions.get(name, name) for name in client.software)
        for client in section.clients
    ]
    rows = [
        [check, *(cell(client, check) for client in section.clients)]
        for check in section.clients[0].checks
    ]
    lines = [["check", *heads], ["---"] * (len(heads) + 1), *rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    numbered = "".join(f"{number}. {note}\n" for number, note in enumerate(notes, 1))
    return f"## {section.title}\n\n{table}" + (f"\n{numbered}" if notes else "")


def tables(page: str) -> dict[str, dict[str, list[str]]]:
    """Return the tables of a page by their titles: for each row the cells after the first."""
    found: dict[str, dict[str, list[str]]] = {}
    for part in page.split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        lines = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("|")]
        found[title] = {check: cells for check, *cells in lines if check != "---"}
    return found
