"""The pictures of the README: the stack, drawn from compose.yaml, and what its clients see."""

from collections.abc import Iterator
from html import escape

import yaml

from clients.cli import report
from lab import ROOT, LabError
from lab.demo import exercised
from lab.description import Service, services
from lab.running import need_lab, with_clients

STACK = ROOT / "docs" / "stack.svg"
CLIENTS = ROOT / "docs" / "clients.svg"

# Pixels: the columns are the published ports, the servers and the clients, the rows the servers,
# each as high as its ports need.
WIDTH = 900
PORTS, PORT_WIDTH = 20, 152
NETWORK = 188
SERVERS, SERVER_WIDTH = 216, 400
CLIENT, CLIENT_WIDTH = 744, 126
TOP, GAP, CARD, PORT = 68, 14, 58, 32

# Dark where the reader's browser is, and on a ground of its own: the page may be of either kind.
STYLE = """
    text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
    .name { font-size: 15px; font-weight: 600; }
    .note { font-size: 12px; fill: #59636e; }
    .code { font-size: 11px; font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
    .small { font-size: 11px; }
    .middle { text-anchor: middle; }
    .end { text-anchor: end; }
    .ground { fill: #f6f8fa; stroke: #d1d9e0; }
    .network { fill: #eaf2fd; stroke: #0969da; stroke-dasharray: 6 4; }
    .box { fill: #ffffff; stroke: #818b98; }
    .model { fill: #dafbe1; stroke: #1a7f37; }
    .volume { fill: #fbefff; stroke: #8250df; }
    .secret { fill: #fff8c5; stroke: #9a6700; }
    .link { fill: none; stroke: #59636e; stroke-width: 1.5; marker-end: url(#arrow); }
    .udp { stroke-dasharray: 4 4; }
    .shared { stroke: #8250df; stroke-width: 1.5; }
    .head { fill: #59636e; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; }
      .note { fill: #9198a1; }
      .ground { fill: #0d1117; stroke: #3d444d; }
      .network { fill: #121d2f; stroke: #4493f8; }
      .box { fill: #212830; stroke: #656c76; }
      .model { fill: #12261e; stroke: #3fb950; }
      .volume { fill: #271c3a; stroke: #ab7df8; }
      .secret { fill: #2e2a1f; stroke: #d29922; }
      .link { stroke: #9198a1; }
      .shared { stroke: #ab7df8; }
      .head { fill: #9198a1; }
    }
  """

ARROW = (
    '<marker id="arrow" markerWidth="8" markerHeight="8" refX="8" refY="4" orient="auto"'
    ' markerUnits="userSpaceOnUse"><path class="head" d="M0 0 8 4 0 8z"/></marker>'
)


def stack_picture() -> str:
    """Return the picture of the stack as compose.yaml has it, whatever the settings here are."""
    servers = services(environ={})
    document = yaml.safe_load((ROOT / "compose.yaml").read_text())
    client = document["services"]["clients"]
    shared = {volume.partition(":")[0] for volume in client["volumes"]}
    tops = [TOP]
    for server in servers:
        tops.append(tops[-1] + card(server) + GAP)
    height = tops[-1] + 18
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>The stack of {document['name']}</title>",
        f"<style>{STYLE}</style>",
        ARROW,
        box("ground", 1, 1, WIDTH - 2, height - 2, 10),
        text("note", PORTS, 36, "published on the host"),
        box("network", NETWORK, 14, WIDTH - 14 - NETWORK, height - 28, 10),
        text("note", SERVERS, 36, f"network {document['name']}_default: a container each"),
        text("note middle", CLIENT + CLIENT_WIDTH / 2, 36, "runs once, on demand"),
        *clients("clients", client, tops[-1] - GAP - TOP),
    ]
    for server, top in zip(servers, tops, strict=False):
        parts += server_row(server, top, shared)
    return "\n".join([*parts, "</svg>", ""])


def server_row(server: Service, y: int, shared: set[str]) -> Iterator[str]:
    """Draw a server, its ports on the host, and how the clients reach it."""
    port = server.port
    middle, right = y + CARD // 2, SERVERS + SERVER_WIDTH
    yield box("box", SERVERS, y, SERVER_WIDTH, card(server), 8)
    for row, each in enumerate(server.ports):
        at = y + CARD + row * PORT - PORT // 2 if row else middle
        yield box("box", PORTS, at - 13, PORT_WIDTH, 26, 6)
        yield text("code middle", PORTS + PORT_WIDTH / 2, at + 4, str(each))
        yield link(each.protocol, PORTS + PORT_WIDTH, SERVERS, at)
        if row:
            yield text("note", SERVERS + 14, at + 4, f"passes on to {each.speaks}")
            yield text("code end", right - 14, at + 4, f"{each.target}/{each.protocol}")
    yield text("name", SERVERS + 14, y + 24, server.name)
    yield from badge("model", SERVERS + 124, y + 10, model(server))
    yield text("code end", right - 14, y + 24, f"{port.target}/{port.protocol}")
    yield text("code note", SERVERS + 14, y + 45, " ".join(server.command))
    badges = [("volume", name) for name in server.volumes if name not in shared]
    badges += [("secret", name) for name in secrets(server)]
    for kind, name in badges:
        label = f"{kind} {name}"
        yield from badge(kind, right - 10 - badge_width(label), y + 32, label)
    between = [name for name in server.volumes if name in shared]
    yield link(port.protocol, CLIENT, right, y + 16 if between else middle)
    for name in between:
        yield f'<path class="shared" d="M{right} {y + 41}H{CLIENT}"/>'
        label = f"volume {name}"
        yield from badge("volume", (right + CLIENT - badge_width(label)) / 2, y + 32, label)


def card(server: Service) -> int:
    """Return the height of a server, which has a row for each port."""
    return CARD + PORT * (len(server.ports) - 1)


def clients(name: str, block: dict[str, list[str]], height: int) -> Iterator[str]:
    """Draw the container that talks to all servers, as high as they are together."""
    center, middle = CLIENT + CLIENT_WIDTH / 2, TOP + height // 2
    yield box("box", CLIENT, TOP, CLIENT_WIDTH, height, 8)
    yield text("name middle", center, middle - 14, name)
    yield text("code note middle", center, middle + 6, " ".join(block["entrypoint"]))
    for secret in block["secrets"]:
        label = f"secret {secret}"
        yield from badge("secret", center - badge_width(label) / 2, middle + 18, label)


def model(server: Service) -> str:
    """Return the concurrency model, which its command names: the module, or else the program."""
    program, *arguments = server.command
    return arguments[-1].rpartition(".")[2] if program == "python" else program


def secrets(server: Service) -> list[str]:
    """Return the names of the secrets that the server's settings point to."""
    folder = "/run/secrets/"
    values = server.environment.values()
    return [value.removeprefix(folder) for value in values if value.startswith(folder)]


def box(kind: str, x: float, y: float, width: float, height: float, radius: int) -> str:
    """Draw a rounded rectangle."""
    size = f'width="{width:g}" height="{height:g}" rx="{radius}"'
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" {size}/>'


def text(kind: str, x: float, y: float, words: str) -> str:
    """Write one line."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(words)}</text>'


def link(protocol: str, start: int, end: int, y: int) -> str:
    """Draw an arrow along a row."""
    return f'<path class="link {protocol}" d="M{start} {y}H{end}"/>'


def badge(kind: str, x: float, y: float, label: str) -> Iterator[str]:
    """Draw a short text on a coloured ground."""
    width = badge_width(label)
    yield box(kind, x, y, width, 19, 9)
    yield text("small middle", x + width / 2, y + 13.5, label)


def badge_width(label: str) -> float:
    """Return the pixels that `label` takes at most, in the fonts that are usual."""
    return 6.5 * len(label) + 14


def draw() -> int:
    """Draw both pictures; raises LabError where not all checks held."""
    need_lab()
    results = exercised(with_clients())
    if not all(result.held for result in results):
        raise LabError("no picture of checks that fail: see `make demo`")
    STACK.parent.mkdir(exist_ok=True)
    STACK.write_text(stack_picture())
    CLIENTS.write_text(report.svg_of(results))
    return 0
