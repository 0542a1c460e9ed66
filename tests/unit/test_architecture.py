"""The rules of the house: who may import what, where the sockets are, how long a driver may be."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from clients.addresses import PORTS
from lab import ROOT

FOLDERS = {name.replace("-", "_"): name for name in PORTS}
SHARED = (  # of services/
    "acknowledgments", "addresses", "host_names", "runtime", "listeners", "event_loop",
    "version", "workers", "connection", "memory", "progress", "safe_pickle", "udp_sockets", "wire",
)  # fmt: skip
SHARED_UNDER_GUNICORN = ("gunicorn_settings", "http")
SHARED_UNDER_UVICORN = ("uvicorn_server",)
# What is shared and touches no socket, so that the clients may import it too.
WITHOUT_IO = (
    "services.addresses", "services.connection", "services.memory", "services.safe_pickle",
    "services.version", "services.wire",
)  # fmt: skip
CLIENT = "console"  # the folder of the service that is a client, and may import clients/
NETWORKING = ("socket", "select", "selectors", "asyncio", "socketserver")
NETWORKING_OF_CLASSIC = ("multiprocessing.connection", "xmlrpc.server", "wsgiref.simple_server")
STANDARD_LIBRARY = sys.stdlib_module_names | {"_typeshed"}  # the latter for types alone

MODELS = {
    "raw_loop", "single", "stream_handler", "threaded", "forked", "prethreaded", "evented",
    "preforked", "coroutines", "callbacks", "classic",
}  # fmt: skip
MAX_LINES = {  # lines of a driver; comments, docstrings and blank lines count
    "connection/evented.py": 70,
    "connection/threaded.py": 70,
    "coroutines.py": 70,
    "callbacks.py": 70,
    "tcp_echo/evented.py": 70,
    "forked.py": 80,
    "kv/single.py": 70,
    "rest/single.py": 70,
    "classic.py": 90,
    "": 60,  # all others: those on socketserver and on a bare socket
}
MAX_LINES_OF_A_SERVICE = 20  # lines of a driver that names a shared one, and the answer
# Sockets that stand in no driver: options of listeners, asyncio's loop, gunicorn's workers, what
# the drivers of a service share, the client of etcd, the relay. (Its api.py and server.py only
# wait, by asyncio, and so do the console's files.)
SOCKETS = {
    "services/listeners.py": 250,
    "services/acknowledgments.py": 40,
    "services/console/events.py": 150,
    "services/console/pages.py": 300,
    "services/console/watch.py": 150,
    "services/event_loop.py": 60,
    "services/http/group.py": 60,
    "services/http/worker.py": 250,
    "services/kv/etcd.py": 250,
    "services/relay/api.py": 300,
    "services/relay/direction.py": 110,
    "services/relay/resets.py": 40,
    "services/relay/tcp.py": 150,
    "services/relay/udp.py": 150,
    "services/relay/server.py": 100,
    "services/tcp_echo/accept_backoff.py": 50,
    "services/tcp_echo/mixin.py": 50,
    "services/tcp_echo/transports.py": 50,
    "services/tcp_echo/vanished.py": 100,
    "services/udp_sockets.py": 90,
    "services/uvicorn_server.py": 80,
    "services/udp_time/mixin.py": 50,
}


def modules(*folders: str) -> dict[str, Path]:
    """Return the Python files of some folders, by their path in the repository."""
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return {str(path.relative_to(ROOT)): path for path in found}


CODE = modules("services")
OF_SERVICES = {name: path for name, path in CODE.items() if path.parent.name in FOLDERS}
SHARED_CODE = {name: path for name, path in CODE.items() if name not in OF_SERVICES}
DRIVERS = {
    name: path
    for name, path in CODE.items()
    if path.stem in MODELS and (path.parent.name in FOLDERS or path.parent.name == "connection")
}


def imports(path: Path) -> Iterator[str]:
    """Yield what a module imports, anywhere in it: the module, and each name taken from it."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def declared(folder: str) -> set[str]:
    """Return the packages that a service declares; a service without a list has none."""
    path = ROOT / f"requirements/{folder}.in"
    lines = path.read_text().split("\n") if path.exists() else []
    return {name for line in lines if (name := re.split(r"[\s#=<>;\[]", line)[0])}


def within(name: str, *packages: str) -> bool:
    """Whether `name` is one of `packages` or in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def of_services(*names: str) -> tuple[str, ...]:
    """Return modules of services/ as they are imported."""
    return tuple(f"services.{name}" for name in names)


@pytest.mark.parametrize("module", OF_SERVICES)
def test_a_service_imports_only_what_is_its_own(module: str) -> None:
    """The standard library, its declared packages, what all share, and its own folder."""
    folder = OF_SERVICES[module].parent.name
    shared = SHARED + (SHARED_UNDER_GUNICORN if "gunicorn" in declared(folder) else ())
    shared += SHARED_UNDER_UVICORN if "uvicorn" in declared(folder) else ()
    clients = ("clients",) if folder == CLIENT else ()
    allowed = (*STANDARD_LIBRARY, *declared(folder), *of_services(*shared, folder), *clients)
    assert [name for name in imports(OF_SERVICES[module]) if not within(name, *allowed)] == []


@pytest.mark.parametrize("module", SHARED_CODE)
def test_what_services_share_imports_no_service(module: str) -> None:
    """The standard library, and one another; web servers and the parser of HTTP where they are."""
    path = SHARED_CODE[module]
    under_gunicorn = path.parent.name == "http" or path.stem == "gunicorn_settings"
    more = ("gunicorn", "httptools", *of_services(*SHARED_UNDER_GUNICORN)) if under_gunicorn else ()
    if module == "services/wire/http.py":
        more = ("httptools",)
    if path.stem in SHARED_UNDER_UVICORN:
        more = ("h11", "starlette", "uvicorn")
    allowed = (*STANDARD_LIBRARY, *of_services(*SHARED), *more)
    assert [name for name in imports(path) if not within(name, *allowed)] == []


@pytest.mark.parametrize("module", [name for name in CODE if name not in {**DRIVERS, **SOCKETS}])
def test_sockets_are_in_drivers_only(module: str) -> None:
    """So protocols, limits and answers have tests without sockets."""
    networking = (*NETWORKING, *NETWORKING_OF_CLASSIC)
    assert [name for name in imports(CODE[module]) if within(name, *networking)] == []


@pytest.mark.parametrize("module", SOCKETS)
def test_what_has_sockets_beside_the_drivers_is_short(module: str) -> None:
    """There is nothing else in it."""
    assert len(CODE[module].read_text().splitlines()) <= SOCKETS[module]


@pytest.mark.parametrize("module", DRIVERS)
def test_a_driver_is_short(module: str) -> None:
    """It is its I/O, and nothing else."""
    if "services.connection" in str(list(imports(DRIVERS[module]))) and not has_sockets(module):
        most = MAX_LINES_OF_A_SERVICE
    else:
        most = next(lines for name, lines in MAX_LINES.items() if module.endswith(name))
    assert len(DRIVERS[module].read_text().splitlines()) <= most


def has_sockets(module: str) -> bool:
    """Whether a driver does its own I/O."""
    networking = (*NETWORKING, *NETWORKING_OF_CLASSIC)
    return any(within(name, *networking) for name in imports(DRIVERS[module]))


@pytest.mark.parametrize("module", DRIVERS)
def test_a_driver_is_run_by_the_same_function(module: str) -> None:
    """A difference of two drivers is one of their models; their names are the same."""
    tree = ast.parse(DRIVERS[module].read_bytes())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert "serve" in functions
    runnable = 'if __name__ == "__main__":' in DRIVERS[module].read_text()
    assert runnable == (DRIVERS[module].parent.name in FOLDERS)


def test_whatever_runs_is_named_after_its_model() -> None:
    """Never as a module of the standard library, whose name it would take."""
    runnable = [
        name
        for name, path in OF_SERVICES.items()
        if 'if __name__ == "__main__":' in path.read_text()
    ]
    # Services that there are in one form only.
    no_models = ["services/console/server.py", "services/relay/server.py"]
    assert [name for name in runnable if name not in DRIVERS] == no_models
    assert MODELS & sys.stdlib_module_names == set()


PROTOCOLS = ("services.connection.protocol.Protocol", "services.http.protocol.Protocol")
METHODS = ("receive_data", "data_to_send", "sent", "close")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_are_driven_by_the_same_methods(name: str) -> None:
    """Bytes in, bytes out; whoever knows one of them knows the others."""
    module, _, kind = name.rpartition(".")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_bytes())
    (protocol,) = (
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind
    )
    methods = {node.name for node in protocol.body if isinstance(node, ast.FunctionDef)}
    assert methods >= set(METHODS)
    attributes = {node.attr for node in ast.walk(protocol) if isinstance(node, ast.Attribute)}
    assert attributes >= {"closed", "deadline"}


@pytest.mark.parametrize("module", CODE)
def test_servers_run_without_the_clients(module: str) -> None:
    """Nothing of theirs is imported, nor what runs on the host, nor a test.

    But for the console, which is a client.
    """
    is_client = CODE[module].parent.name == CLIENT
    outside = ("lab", "tests", "bench") if is_client else ("clients", "lab", "tests", "bench")
    assert [name for name in imports(CODE[module]) if within(name, *outside)] == []


@pytest.mark.parametrize("module", modules("clients"))
def test_clients_share_no_more_than_the_protocol(module: str) -> None:
    """What has no I/O, and nothing of a service."""
    of_ours = [name for name in imports(ROOT / module) if within(name, "services", "lab")]
    assert [name for name in of_ours if not within(name, *WITHOUT_IO)] == []


PLUGIN = modules("lab/testing") | {
    name: ROOT / name for name in ("lab/compose.py", "lab/interrupts.py")
}


@pytest.mark.parametrize("module", PLUGIN)
def test_the_pytest_plugin_knows_nothing_of_the_lab(module: str) -> None:
    """It is for any project: what an address is, is all that it has of the servers and clients.

    But for the part that is for stacks with the relay in them.
    """
    ours = (
        "lab.LabError", "lab.compose", "lab.interrupts", "lab.testing", "clients.addresses.Address",
    )  # fmt: skip
    of_the_relay = ("clients.addresses.PORTS", "clients.relay", "services.wire")
    more = of_the_relay if module == "lab/testing/network.py" else ()
    allowed = (*STANDARD_LIBRARY, "docker", "pytest", *ours, *more)
    assert [name for name in imports(PLUGIN[module]) if not within(name, *allowed)] == []


def test_the_pytest_plugin_costs_nothing_where_it_is_not_used() -> None:
    """Whoever has it installed imports it in each run of pytest: without Docker's SDK."""
    code = "import sys, lab.testing.plugin; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_folder_of_services_is_a_service_or_shared() -> None:
    """A folder is named as the compose service, with underscores."""
    folders = {path.parent.name for path in (ROOT / "services").glob("*/__init__.py")}
    shared = {
        name for name in SHARED + SHARED_UNDER_GUNICORN if (ROOT / f"services/{name}").is_dir()
    }
    assert folders == {*FOLDERS, *shared}


def test_no_import_goes_in_a_circle() -> None:
    """So there is an order in which everything can be read."""
    names = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
        for name, path in modules("services", "clients", "lab").items()
    }
    graph = {
        name: {
            taken
            for each in imports(path)
            if (taken := each if each in names else each.rpartition(".")[0]) in names
            and taken != name
        }
        for name, path in names.items()
    }
    assert list(TopologicalSorter(graph).static_order())


HOSTILE = """
import importlib, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
"""
SCRIPT_LINES = 150  # of the page's only script


def test_the_page_has_one_short_script() -> None:
    """Nothing is vendored, and there is no build step."""
    scripts = list((ROOT / "services").rglob("*.js"))
    assert [path.name for path in scripts] == ["console.js"]
    assert len(scripts[0].read_text().splitlines()) <= SCRIPT_LINES


SETTING = re.compile(r'"((?:WIRELAB|ECHO)_[A-Z_]+)"')


def test_no_module_reads_a_setting_when_it_is_imported() -> None:
    """All of them can be imported whatever the environment is; `serve` reads what it needs."""
    settings = {name for path in CODE.values() for name in SETTING.findall(path.read_text())}
    assert len(settings) > 5
    names = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in CODE
        if ".conf." not in name
    ]
    hostile = dict.fromkeys(settings, "☃ no such value")
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", HOSTILE, *names],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **hostile},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


HEALTH = """
import json, sys
before = set(sys.modules)
import clients.health
clients.health.TIMEOUT = 0.1
module = __import__("importlib").import_module("clients." + sys.argv[1].replace("-", "_"))
failed = clients.health.problem(sys.argv[1], clients.health.Address("127.0.0.1", 1))
new = {name.partition(".")[0] for name in set(sys.modules) - before}
ours = {"clients", "services", "__mp_main__"}  # the last: what multiprocessing calls __main__
print(json.dumps([failed, sorted(new - sys.stdlib_module_names - ours)]))
"""


@pytest.mark.parametrize("service", PORTS)
def test_a_health_check_needs_the_standard_library_only(service: str, tmp_path: Path) -> None:
    """Neither to import the client nor to make the exchange; here it fails, as nobody listens."""
    key = tmp_path / "authkey"
    key.write_text("k" * 32)
    result = subprocess.run(
        [sys.executable, "-c", HEALTH, service],
        cwd=ROOT,
        env={"WIRELAB_AUTHKEY_FILE": str(key)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    failed, foreign = json.loads(result.stdout)
    assert failed.startswith(f"{service}: ")
    assert foreign == []
