"""The rules of the house: who may import what, and that ports and commands agree everywhere."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import clients.variants
from clients.addresses import PORTS
from scripts.stack import ROOT

FOLDERS = {name.replace("-", "_"): name for name in PORTS}
FOR_ALL = ("services.runtime", "services.listeners")
SHARED = (*FOR_ALL, "services.connection", "services.safe_pickle")
SHARED_UNDER_GUNICORN = ("services.gunicorn_settings", "services.http")
# Shared, and yet with sockets.
SERVER_FILES = ("services/listeners.py", "services/http/worker.py")
NETWORKING = ("socket", "selectors", "asyncio", "socketserver", "multiprocessing.connection")
USES_CONNECTION = ("object_echo", "rpc")
STANDARD_LIBRARY = sys.stdlib_module_names | {"_typeshed"}  # the latter for types alone

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
DEFAULTS: dict[str, Any] = {name: COMPOSE["services"][name] for name in PORTS}
VARIANTS: dict[str, Any] = {
    name: block
    for name, block in COMPOSE["services"].items()
    if block.get("profiles") == ["variants"]
}
SERVERS = DEFAULTS | VARIANTS

CODE = {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "services").rglob("*.py"))}
OF_SERVICES = {name: path for name, path in CODE.items() if path.parts[-2] in FOLDERS}
OF_ALL_SERVICES = {name: path for name, path in CODE.items() if name not in OF_SERVICES}


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


def main_guarded(path: Path) -> bool:
    """Whether a module can be run."""
    return 'if __name__ == "__main__":' in path.read_text()


def spoken(server: str) -> str:
    """Return the service whose protocol a server of compose.yaml speaks, by its health check."""
    return str(SERVERS[server]["healthcheck"]["test"][-1])


def model(server: str) -> str:
    """Return the concurrency model of a server of compose.yaml: its module, or else gunicorn."""
    program, *_, last = SERVERS[server]["command"]
    return last.rpartition(".")[2] if program == "python" else str(program)


def default_ports(path: Path) -> list[int]:
    """Return the ports that a module gives to `runtime.main` or `runtime.address`."""
    found = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "runtime.main",
            "runtime.address",
        ):
            given = [*node.args, *(keyword.value for keyword in node.keywords)][-1]
            found.append(ast.literal_eval(given))
    return found


@pytest.mark.parametrize("module", OF_SERVICES)
def test_a_service_imports_only_what_is_its_own(module: str) -> None:
    """The standard library, its declared packages, what all share, and its own folder."""
    folder = OF_SERVICES[module].parts[-2]
    allowed = [*STANDARD_LIBRARY, *declared(folder), *FOR_ALL, f"services.{folder}"]
    if folder in USES_CONNECTION:
        allowed.extend(("services.connection", "services.safe_pickle"))
    if "gunicorn" in declared(folder):
        allowed.extend(SHARED_UNDER_GUNICORN)
    assert [name for name in imports(OF_SERVICES[module]) if not within(name, *allowed)] == []


@pytest.mark.parametrize("module", OF_ALL_SERVICES)
def test_what_services_share_imports_no_service(module: str) -> None:
    """Only the standard library, and one another; gunicorn where it is there anyway."""
    path = OF_ALL_SERVICES[module]
    under_gunicorn = (*SHARED_UNDER_GUNICORN, "gunicorn")
    of_gunicorn = path.parent.name == "http" or path.stem == "gunicorn_settings"
    allowed = (*STANDARD_LIBRARY, *SHARED, *(under_gunicorn if of_gunicorn else ()))
    assert [name for name in imports(path) if not within(name, *allowed)] == []


@pytest.mark.parametrize("module", [name for name in OF_ALL_SERVICES if name not in SERVER_FILES])
def test_what_services_share_has_no_sockets(module: str) -> None:
    """Every socket call of a server stands in one file: its own, or the worker under gunicorn's.

    rest, kv and httpbin differ in what they answer, not in how they are connected to.
    """
    assert [name for name in imports(OF_ALL_SERVICES[module]) if within(name, *NETWORKING)] == []


@pytest.mark.parametrize("module", CODE)
def test_no_server_needs_the_clients(module: str) -> None:
    """Servers run without them."""
    assert [name for name in imports(CODE[module]) if within(name, "clients", "scripts")] == []


def test_every_folder_of_services_is_a_service_or_shared() -> None:
    """A folder is named as the compose service, with underscores."""
    folders = {path.parent.name for path in (ROOT / "services").glob("*/__init__.py")}
    assert folders == {*FOLDERS, "connection", "http", "safe_pickle"}


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


@pytest.mark.parametrize("service", SERVERS)
def test_the_command_of_a_server_is_there(service: str) -> None:
    """compose.yaml names a module that can be run, or a configuration of gunicorn, of its own."""
    folder = spoken(service).replace("-", "_")
    match SERVERS[service]["command"]:
        case ["python", "-m", str(module)]:
            path = ROOT / f"{module.replace('.', '/')}.py"
            assert main_guarded(path)
        case ["gunicorn", "-c", str(configuration)]:
            path = ROOT / configuration
            assert path.exists()
        case command:
            pytest.fail(f"neither python -m nor gunicorn -c: {command}")
    assert path.parent == ROOT / "services" / folder


RUNNABLE = {
    name: path for name, path in OF_SERVICES.items() if main_guarded(path) or ".conf." in name
}


@pytest.mark.parametrize("module", RUNNABLE)
def test_every_server_has_the_port_of_its_service_by_default(module: str) -> None:
    """Each variant listens where the clients look."""
    service = FOLDERS[RUNNABLE[module].parts[-2]]
    assert default_ports(RUNNABLE[module]) == [PORTS[service]]


@pytest.mark.parametrize("service", SERVERS)
def test_compose_publishes_the_port_of_a_service(service: str) -> None:
    """On loopback; a service by its own number, a variant by any; with a variable for each."""
    (published,) = SERVERS[service]["ports"]
    variable = f"WIRELAB_{service.upper().replace('-', '_')}_PORT"
    protocol = "udp" if spoken(service) == "udp-time" else "tcp"
    port = PORTS[spoken(service)]
    number = port if service in DEFAULTS else 0
    fixed = service in VARIANTS or service == "httpbin"
    bind = "127.0.0.1" if fixed else "${WIRELAB_BIND:-127.0.0.1}"
    assert published == f"{bind}:${{{variable}:-{number}}}:{port}/{protocol}"


@pytest.mark.parametrize("service", DEFAULTS)
def test_the_clients_container_is_told_where_a_service_is(service: str) -> None:
    """By the name of its container, on its own port."""
    environment = COMPOSE["services"]["clients"]["environment"]
    variable = f"WIRELAB_{service.upper().replace('-', '_')}_ADDRESS"
    assert environment[variable] == f"{service}:{PORTS[service]}"


@pytest.mark.parametrize("service", SERVERS)
def test_the_health_check_of_a_container_is_an_exchange_with_its_service(service: str) -> None:
    """It is the client's, made in the server's own container."""
    command = SERVERS[service]["healthcheck"]["test"]
    assert command == ["CMD", "sh", "clients/health.sh", spoken(service)]
    assert spoken(service) == service or service.startswith(f"{spoken(service)}-")
    assert 'python -m clients.health "$1"' in (ROOT / "clients/health.sh").read_text()


def test_every_server_of_compose_is_known_to_the_clients() -> None:
    """There is no other container than those, variants of them, and the clients' own."""
    assert set(COMPOSE["services"]) == {*PORTS, *VARIANTS, "clients"}
    assert not any("profiles" in block for block in DEFAULTS.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_differs_from_its_service_in_the_model_only(variant: str) -> None:
    """The same image, built once, with the same rights; named after its service and model."""
    service = DEFAULTS[spoken(variant)]
    assert variant == f"{spoken(variant)}-{model(variant).replace('_', '-')}"
    assert "build" not in VARIANTS[variant]
    different = {name for name, value in VARIANTS[variant].items() if value != service.get(name)}
    limits = {"pids_limit", "mem_limit"}
    own = {"profiles", "command", "ports", "environment", "volumes", *limits}
    assert different <= own
    assert set(service) - set(VARIANTS[variant]) <= {"build", "environment", "volumes"}


@pytest.mark.parametrize("module", RUNNABLE)
def test_every_variant_is_a_container(module: str) -> None:
    """Whatever can be run is a server of compose.yaml: the default one, or one of the profile."""
    commands = [block["command"] for block in SERVERS.values()]
    by_gunicorn = ["gunicorn", "-c", module]
    by_python = ["python", "-m", module.removesuffix(".py").replace("/", ".")]
    assert by_gunicorn in commands or by_python in commands


def places(server: str) -> list[str]:
    """Return where a server is in the compose network: its port, and its UNIX socket if any."""
    unix = SERVERS[server].get("environment", {}).get("WIRELAB_UNIX_SOCKET")
    return [f"{server}:{PORTS[spoken(server)]}", *([unix] if unix else [])]


@pytest.mark.parametrize("service", {spoken(variant): None for variant in VARIANTS})
def test_the_clients_container_is_told_where_all_variants_are(service: str) -> None:
    """Of each model one: the default server counts as one unless its model is a variant too."""
    told = COMPOSE["services"]["clients"]["environment"][clients.variants.variable(service)]
    servers = {model(name): name for name in SERVERS if spoken(name) == service}
    assert sorted(told.split()) == sorted(
        f"{name}={place}" for name, server in servers.items() for place in places(server)
    )
