"""compose.yaml and the code agree: on commands, ports, health checks, and on who is a variant."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

import clients.cli.variants
from clients.addresses import PORTS, Address, known
from lab import ROOT, LabError, description
from services.relay.server import PROXIES

FOLDERS = {name.replace("-", "_"): name for name in PORTS}

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
DEFAULTS: dict[str, Any] = {name: COMPOSE["services"][name] for name in PORTS}
VARIANTS: dict[str, Any] = {
    name: block
    for name, block in COMPOSE["services"].items()
    if block.get("profiles") == ["variants"]
}
# Of the profile "cluster": the replicas of a service, and what they have in common.
REPLICAS: dict[str, Any] = {
    name: block
    for name, block in COMPOSE["services"].items()
    if block.get("profiles") == ["cluster"] and "ports" in block
}
NODES = ["etcd-1", "etcd-2", "etcd-3"]
SERVERS = DEFAULTS | VARIANTS
CLASS = COMPOSE["services"]["kv-class"]

CODE = {
    str(path.relative_to(ROOT)): path
    for path in sorted((ROOT / "services").rglob("*.py"))
    if path.parent.name in FOLDERS
}


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


RUNNABLE = {name: path for name, path in CODE.items() if main_guarded(path) or ".conf." in name}


@pytest.mark.parametrize("module", RUNNABLE)
def test_every_server_has_the_port_of_its_service_by_default(module: str) -> None:
    """Each variant listens where the clients look."""
    service = FOLDERS[RUNNABLE[module].parts[-2]]
    assert default_ports(RUNNABLE[module]) == [PORTS[service]]


@pytest.mark.parametrize("service", SERVERS)
def test_compose_publishes_the_port_of_a_service(service: str) -> None:
    """On loopback; a service by its own number, a variant by any; with a variable for each."""
    published = SERVERS[service]["ports"][0]
    variable = f"WIRELAB_{service.upper().replace('-', '_')}_PORT"
    protocol = "udp" if spoken(service) == "udp-time" else "tcp"
    port = PORTS[spoken(service)]
    number = port if service in DEFAULTS else 0
    fixed = service in VARIANTS or service in ("httpbin", "relay", "console")
    bind = "127.0.0.1" if fixed else "${WIRELAB_BIND:-127.0.0.1}"
    assert published == f"{bind}:${{{variable}:-{number}}}:{port}/{protocol}"


def test_only_the_relay_has_more_ports_than_one() -> None:
    """One for the traffic of each service, its number + 20; its control is on loopback alone."""
    several = {name: block["ports"][1:] for name, block in SERVERS.items() if block["ports"][1:]}
    assert list(several) == ["relay"]
    wanted = []
    for service, (port, protocol) in PROXIES.items():
        assert port == PORTS[service] + 20
        variable = f"WIRELAB_RELAY_{service.upper().replace('-', '_')}_PORT"
        bind = "127.0.0.1" if service == "httpbin" else "${WIRELAB_BIND:-127.0.0.1}"
        wanted.append(f"{bind}:${{{variable}:-{port}}}:{port}/{protocol}")
    assert sorted(several["relay"]) == sorted(wanted)


def test_the_relay_may_lead_to_all_others() -> None:
    """To each service by a proxy, and to the variants if one is made for them."""
    told = DEFAULTS["relay"]["environment"]["WIRELAB_RELAY_UPSTREAMS"].split()
    services = [f"{name}={name}:{PORTS[name]}" for name in PROXIES]
    assert sorted(told) == sorted([*services, *VARIANTS, *REPLICAS])


@pytest.mark.parametrize("client", ["clients", "console"])
def test_clients_find_servers_by_their_names(client: str) -> None:
    """Nothing in compose.yaml says where one is: it is the host of its name."""
    environment = COMPOSE["services"][client]["environment"]
    assert environment["WIRELAB_DISCOVERY"] == "dns"
    assert [name for name in environment if name.endswith("_ADDRESS")] == []
    for server in SERVERS:
        assert known(server, spoken(server), environment) == Address(server, PORTS[spoken(server)])


@pytest.mark.parametrize("service", SERVERS)
def test_the_health_check_of_a_container_is_an_exchange_with_its_service(service: str) -> None:
    """It is the client's, made in the server's own container."""
    command = SERVERS[service]["healthcheck"]["test"]
    assert command == ["CMD", "sh", "clients/health.sh", spoken(service)]
    assert spoken(service) == service or service.startswith(f"{spoken(service)}-")
    assert 'python -m clients.health "$1"' in (ROOT / "clients/health.sh").read_text()


def test_every_server_of_compose_is_known_to_the_clients() -> None:
    """There is nothing else but variants and replicas, what these share, and the clients' own."""
    assert set(COMPOSE["services"]) == {
        *PORTS, *VARIANTS, *REPLICAS, *NODES, "clients", "kv-class",
    }  # fmt: skip
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


@pytest.mark.parametrize("service", {spoken(variant): None for variant in VARIANTS})
def test_the_clients_know_all_variants(service: str) -> None:
    """Of each model there is one server, and the default one is one of them."""
    servers = {model(name): name for name in SERVERS if spoken(name) == service}
    assert clients.cli.variants.servers(service) == servers


@pytest.mark.parametrize("server", SERVERS)
def test_a_unix_socket_is_named_after_its_server(server: str) -> None:
    """In the folder where the clients look for it."""
    folder = COMPOSE["services"]["clients"]["environment"]["WIRELAB_SOCKETS"]
    socket = SERVERS[server].get("environment", {}).get("WIRELAB_UNIX_SOCKET")
    assert socket in (None, f"{folder}/{server}.sock")
    assert (f"sockets:{folder}" in SERVERS[server].get("volumes", ())) == bool(socket)
    if spoken(server) in ("object-echo", "rpc"):
        assert bool(socket) == (model(server) != "classic")


@pytest.mark.parametrize("service", ["rest", "kv"])
def test_a_server_is_told_the_names_that_it_has_in_the_network(service: str) -> None:
    """It refuses others as Host: those of its containers, of the relay, and of the setting."""
    *names, more = DEFAULTS[service]["environment"]["WIRELAB_HOSTS"].split(",")
    of_class = {"kv-class"} if service == "kv" else set()
    assert {*names} - of_class == {"relay", *(name for name in SERVERS if spoken(name) == service)}
    assert of_class <= {*names}
    assert more == "${WIRELAB_HOSTS:-}"


def test_the_class_has_a_store_of_its_own() -> None:
    """It is kv as it is, but for what is on disk, and that the network reaches it, and it alone."""
    different = {name for name, value in CLASS.items() if value != DEFAULTS["kv"].get(name)}
    assert different == {"profiles", "restart", "volumes", "ports"}
    assert set(DEFAULTS["kv"]) - set(CLASS) == {"build"}
    assert CLASS["profiles"] == ["class"]
    assert CLASS["ports"] == ["${WIRELAB_BIND:-0.0.0.0}:${WIRELAB_KV_CLASS_PORT:-15040}:15000/tcp"]
    (volume,) = (each.partition(":")[0] for each in CLASS["volumes"])
    assert "wirelab.ephemeral" in COMPOSE["volumes"][volume]["labels"]
    everywhere = [
        name for name, block in COMPOSE["services"].items() if "0.0.0.0" in str(block.get("ports"))
    ]
    assert everywhere == ["kv-class"]


def test_a_replica_differs_from_its_service_in_what_it_stores_to() -> None:
    """The same image and command; a network more, and no volume."""
    assert list(REPLICAS) == ["kv-1", "kv-2", "kv-3"]
    service = DEFAULTS["kv"]
    for name, block in REPLICAS.items():
        different = {key for key, value in block.items() if value != service.get(key)}
        assert different == {"profiles", "ports", "environment", "volumes", "networks", "dns_opt",
                             "dns_search", "mem_limit"}  # fmt: skip
        variable = f"WIRELAB_{name.upper().replace('-', '_')}_PORT"
        assert block["ports"] == [f"127.0.0.1:${{{variable}:-0}}:15000/tcp"]
        assert block["volumes"] == []
        environment = block["environment"]
        assert environment["WIRELAB_KV_ETCD"] == ",".join(f"{node}:2379" for node in NODES)
        hosts = environment["WIRELAB_HOSTS"].split(",")
        assert hosts == [*REPLICAS, "relay", "${WIRELAB_HOSTS:-}"]


def test_the_nodes_of_etcd_know_one_another() -> None:
    """Each has its name and its volume; all else is the same, and no port is published."""
    members = ",".join(f"{node}=http://{node}:2380" for node in NODES)
    for node in NODES:
        block = COMPOSE["services"][node]
        environment = block["environment"]
        assert environment["ETCD_NAME"] == node
        assert environment["ETCD_INITIAL_CLUSTER"] == members
        assert environment["ETCD_INITIAL_ADVERTISE_PEER_URLS"] == f"http://{node}:2380"
        assert environment["ETCD_ADVERTISE_CLIENT_URLS"] == f"http://{node}:2379"
        assert block["volumes"] == [f"{node}:/data"]
        assert block["networks"] == ["etcd"]
        assert "ports" not in block
    assert COMPOSE["networks"]["etcd"]["internal"] is True


def test_only_who_asks_for_the_profile_builds_its_image() -> None:
    """The first `make up` takes no packages for it."""
    assert "etcd-1" not in description.built()
    assert {*description.built("cluster")} - {*description.built()} == {"etcd-1"}
    assert {"kv", "clients"} <= {*description.built()}
    assert description.only_in_containers("cluster") == NODES
    assert description.only_in_containers("variants") == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param("services:", "services: [", "line ", id="no YAML"),
        pytest.param("services:", "servers:", "it has no 'services'", id="no services"),
        pytest.param("command: [python", "comand: [python", "service 'tcp-echo'", id="no command"),
        pytest.param(":8080/tcp", "/tcp", "service 'rest'", id="no port"),
    ],
)
def test_a_file_that_is_no_stack_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str, said: str
) -> None:
    """Somebody has edited it: file and fault are said, also where there is no engine to read it."""
    file = tmp_path / "compose.yaml"
    file.write_text((ROOT / "compose.yaml").read_text().replace(before, after))
    monkeypatch.setattr(description, "FILE", file)
    monkeypatch.setattr(description, "_template", description._template.__wrapped__)
    with pytest.raises(LabError, match=f"^{file} cannot be used") as raised:
        description.services({})
    assert said in str(raised.value)
