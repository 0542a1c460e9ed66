"""The lab on Docker Swarm, without one: what is asked for, the file, the record."""

from pathlib import Path
from typing import Any

import pytest

from clients.addresses import PORTS
from lab import LabError, engine
from lab.description import filled, services
from lab.swarm import commands, options, record
from lab.swarm.nodes import Node
from lab.swarm.record import Record
from lab.swarm.stack_file import (
    CHANGED,
    KEPT,
    Deployment,
    clients_file,
    in_bytes,
    stack_file,
)

ENVIRONMENT = {"COMPOSE_PROJECT_NAME": "lab", "WIRELAB_AUTHKEY_FILE": "/the/key"}


def deployment(**changes: Any) -> Deployment:
    """Return what is asked for in most tests."""
    given: dict[str, Any] = {
        "name": "lab-swarm", "data_node": "first", "foreign": [], "digest": "0123",
        "images": {}, "replicas": {}, "published": [],
    }  # fmt: skip
    return Deployment(**(given | changes))


@pytest.fixture
def document() -> dict[str, Any]:
    """Return compose.yaml, filled in."""
    return filled(ENVIRONMENT)


@pytest.fixture
def file(document: dict[str, Any]) -> dict[str, Any]:
    """Return the file that is deployed."""
    return stack_file(document, deployment())


def test_every_key_of_a_container_is_kept_or_changed_for_a_reason(document: dict[str, Any]) -> None:
    """And none is both; a reason is a sentence."""
    servers = [block for block in document["services"].values() if not block.get("profiles")]
    keys = {key for block in [*servers, document["services"]["clients"]] for key in block}
    assert keys <= {*KEPT, *CHANGED}
    assert set(KEPT) & set(CHANGED) == set()
    assert all(reason for _, reason in CHANGED.values())


def test_a_key_that_nobody_has_looked_up_is_an_error(document: dict[str, Any]) -> None:
    """It names the key and the service, and where to say what becomes of it."""
    document["services"]["kv"]["sysctls"] = {}
    with pytest.raises(LabError, match=r"compose\.yaml, kv: lab/swarm/stack_file\.py .* 'sysctls'"):
        stack_file(document, deployment())


def test_all_servers_without_a_profile_are_deployed_and_none_is_published(
    file: dict[str, Any],
) -> None:
    """A port for 127.0.0.1 would be open to everybody."""
    assert set(file["services"]) == set(PORTS)
    assert not any("ports" in block for block in file["services"].values())


@pytest.mark.parametrize("service", PORTS)
def test_limits_and_policies_are_where_swarm_looks_for_them(
    file: dict[str, Any], document: dict[str, Any], service: str
) -> None:
    """In `deploy`; nothing that is refused or ignored is left where it was."""
    block, wanted = file["services"][service], document["services"][service]
    assert set(block) <= {*KEPT, "volumes", "deploy"}
    assert block["deploy"]["resources"]["limits"] == {
        "memory": wanted["mem_limit"], "pids": wanted["pids_limit"], "cpus": "1.0"
    }  # fmt: skip
    assert block["deploy"]["restart_policy"] == {"condition": "any", "delay": "1s"}
    assert block["deploy"]["endpoint_mode"] == "dnsrr"
    assert {"type": "tmpfs", "target": "/tmp", "tmpfs": {"size": 2**24}} in block["volumes"]  # noqa: S108
    for key in KEPT:
        if key not in ("environment", "secrets"):
            assert block.get(key) == wanted.get(key)


def test_data_is_pinned_and_all_else_kept_off_nodes_that_are_not_ours(
    document: dict[str, Any],
) -> None:
    """A node of somebody else's has no images, and any other node not the data."""
    made = stack_file(document, deployment(foreign=["x", "y"], replicas={"rest": 4}))["services"]
    for name, block in made.items():
        found = block["deploy"]["placement"]["constraints"]
        assert found == (["node.id==first"] if name == "kv" else ["node.id!=x", "node.id!=y"])
        assert block["deploy"]["replicas"] == (4 if name == "rest" else 1)


def test_unix_sockets_are_left_out(file: dict[str, Any], document: dict[str, Any]) -> None:
    """Volumes, and what servers and clients are told of paths in them."""
    assert set(file["volumes"]) == {"kv"}
    clients = clients_file(document, deployment(), [], {})["services"]["clients"]
    for block in [*file["services"].values(), clients]:
        assert "/run/wirelab" not in str(block)


def test_a_new_key_is_a_new_secret(file: dict[str, Any], document: dict[str, Any]) -> None:
    """As one cannot be changed; the secrets of builds are not there, as an empty one is refused."""
    assert file["secrets"] == {"authkey": {"name": "lab-swarm_authkey_0123", "file": "/the/key"}}
    other = stack_file(document, deployment(digest="4567"))
    assert other["secrets"]["authkey"]["name"] == "lab-swarm_authkey_4567"
    clients = clients_file(document, deployment(), [], {})
    assert clients["secrets"] == {"authkey": {"name": "lab-swarm_authkey_0123", "external": True}}


def test_a_new_image_of_the_same_name_replaces_what_runs(document: dict[str, Any]) -> None:
    """A label of the container says which one it is; those of compose.yaml stay."""
    made = stack_file(document, deployment(images={"lab-rpc:latest": "sha256:0123"}))["services"]
    assert made["rpc"]["labels"] == {"wirelab.key": "", "wirelab.image": "sha256:0123"}
    assert "labels" not in made["rest"]


def test_the_clients_run_once_in_the_network_of_the_servers(document: dict[str, Any]) -> None:
    """Beside the data, with their arguments and what they are told of the terminal."""
    made = clients_file(document, deployment(), ["kv", "keys"], {"NO_COLOR": "1"})
    clients = made["services"]["clients"]
    assert clients["command"] == ["kv", "keys"]
    assert clients["environment"]["NO_COLOR"] == "1"
    assert clients["environment"]["WIRELAB_DISCOVERY"] == "dns"
    assert clients["deploy"]["restart_policy"] == {"condition": "none"}
    assert clients["deploy"]["placement"]["constraints"] == ["node.id==first"]
    assert made["networks"] == {"default": {"external": True, "name": "lab-swarm_default"}}


def test_no_value_is_taken_for_a_variable() -> None:
    """`docker stack deploy` would fill it in a second time."""
    document = filled({**ENVIRONMENT, "ECHO_TRANSFORM": "$HOME"})
    made = stack_file(document, deployment())
    assert made["services"]["tcp-echo"]["environment"] == {"ECHO_TRANSFORM": "$$HOME"}
    clients = clients_file(document, deployment(), ["kv", "set", "$x", "1"], {})
    assert clients["services"]["clients"]["command"] == ["kv", "set", "$$x", "1"]


def test_what_is_published_is_so_on_the_nodes_that_run_it(document: dict[str, Any]) -> None:
    """Without IPVS there is no other way."""
    ports = options.published("rest", {}, 1)
    made = stack_file(document, deployment(published=ports))["services"]
    wanted = {"target": 8080, "published": 8080, "protocol": "tcp", "mode": "host"}
    assert made["rest"]["ports"] == [wanted]
    assert [name for name, block in made.items() if "ports" in block] == ["rest"]


@pytest.mark.parametrize(
    ("text", "size"), [("16m", 2**24), ("64k", 2**16), ("1g", 2**30), ("7", 7)]
)
def test_sizes_are_bytes(text: str, size: int) -> None:
    """As they are in the schema."""
    assert in_bytes(text) == size


def test_scale_names_services_and_counts() -> None:
    """Any number of them, in any order."""
    assert options.scale("rest=4  rpc=2 kv=1") == {"rest": 4, "rpc": 2, "kv": 1}
    assert options.scale("") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rest", "SCALE has value 'rest'. Not SERVICE=COUNT: 'rest'"),
        ("rst=4", "SCALE has value 'rst=4'. No service 'rst'; there are tcp-echo, udp-time, "),
        ("rest=", "SCALE has value 'rest='. Not a whole number from 1 to 64: ''"),
        ("rest=four", "SCALE has value 'rest=four'. Not a whole number from 1 to 64: 'four'"),
        ("rest=0", "Not a whole number from 1 to 64: '0'"),
        ("rest=-1", "Not a whole number from 1 to 64: '-1'"),
        ("rest=65", "Not a whole number from 1 to 64: '65'"),
        ("rest=\N{SUPERSCRIPT TWO}", "Not a whole number from 1 to 64"),
        ("rest=9999999999999999999999", "Not a whole number from 1 to 64"),
        ("rest=1 rest=2", "More than one count of rest"),
        ("kv=2", "Of kv one replica runs: its data is a file on one node. More can run of tcp"),
        ("udp-time=2", "Of udp-time one replica runs: a client compares its clock"),
        ("relay=2", "Of relay one replica runs: its toxics and its journal are in the memory"),
        ("httpbin=2", "Of httpbin one replica runs: it is not a server of the lab's"),
        ("tcp-echo-forked=2", "No service 'tcp-echo-forked'"),
    ],
)
def test_a_scale_that_cannot_be_is_an_error(text: str, message: str) -> None:
    """It names the value, and says what can be."""
    with pytest.raises(LabError) as caught:
        options.scale(text)
    assert message in str(caught.value)


def test_every_service_scales_or_has_a_reason_not_to() -> None:
    """Each is in one of the two lists."""
    assert sorted([*options.SCALABLE, *options.REASONS]) == sorted(PORTS)
    assert [service.name for service in services({})] == list(PORTS)


@pytest.mark.parametrize(
    ("text", "replicas", "message"),
    [
        ("spam", {}, "PUBLISH has value 'spam'. No service 'spam'; there are "),
        ("httpbin", {}, "httpbin is for 127.0.0.1 alone"),
        ("relay", {}, "relay is for 127.0.0.1 alone"),
        ("rest", {"rest": 3}, "Each of the 3 replicas of rest needs port 8080 of a node"),
    ],
)
def test_what_cannot_be_published_is_an_error(
    text: str, replicas: dict[str, int], message: str
) -> None:
    """Before anything is deployed that would wait for a place for ever."""
    with pytest.raises(LabError) as caught:
        options.published(text, replicas, 2)
    assert message in str(caught.value)


def test_nodes_are_engines_with_or_without_an_address() -> None:
    """Written as they are read; without any, this machine is a swarm that nobody else reaches."""
    text = "unix:///run/docker.sock=10.0.0.1 ssh://user@two tcp://[fd00::3]:2376=fd00::3"
    found = options.nodes(text)
    assert found == [
        Node("unix:///run/docker.sock", "10.0.0.1"), Node("ssh://user@two"),
        Node("tcp://[fd00::3]:2376", "fd00::3"),
    ]  # fmt: skip
    assert options.written(found) == text
    assert options.nodes("") == [Node("", "127.0.0.1")]
    assert options.nodes(options.written(options.nodes(""))) == [Node("", "127.0.0.1")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("two", "NODES has value 'two'. Not an engine, as in DOCKER_HOST: 'two'"),
        ("ssh://two=there", "NODES has value 'ssh://two=there'. Not an IP address: 'there'"),
        ("ssh://two ssh://two=10.0.0.1", "An engine is named more than once"),
    ],
)
def test_nodes_that_are_none_are_an_error(text: str, message: str) -> None:
    """With the value."""
    with pytest.raises(LabError) as caught:
        options.nodes(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("said", ["null\n", '{"NodeID": "", "LocalNodeState": ""}\n'])
def test_an_engine_that_says_nothing_of_a_swarm_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """Many versions of `docker info` succeed where they have reached nobody."""
    monkeypatch.setattr(engine, "docker", lambda *_, **__: said)
    with pytest.raises(LabError, match="the engine at ssh://two does not answer"):
        Node("ssh://two").swarm()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the record in a folder of its own."""
    monkeypatch.setattr(record, "ROOT", tmp_path)
    return tmp_path


def test_the_record_is_there_until_the_last_node_is_cleared(folder: Path) -> None:
    """Then there is no file, and no folder of it."""
    one, other = Node("ssh://one", "10.0.0.1"), Node("ssh://two")
    made = Record()
    made.keep([one, other])
    made.joined += [one.engine, other.engine]
    made.images[other.engine] = ["lab-rest:latest"]
    made.save()
    assert record.load() == made
    made.keep([other])
    assert record.load().nodes == [other, one]
    made.forget(other)
    assert record.load() == Record([one], [one.engine], [], {})
    made.forget(one)
    assert record.load() == Record()
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("folder")
def test_a_swarm_out_of_reach_is_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for the lab is told that it may be there."""
    assert commands.only_there() == ""
    Record().keep([Node("ssh://one")])
    monkeypatch.setattr(Node, "silence", lambda node: f"{node} does not answer: no route")
    said = "the lab may be on a swarm, but the engine at ssh://one does not answer: no route"
    assert commands.only_there() == said


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nodes": 1}', '{"nodes": [{"x": 1}]}', "{}"])
def test_a_damaged_record_is_an_error(folder: Path, text: str) -> None:
    """Nobody would know what to undo."""
    record.folder().mkdir(parents=True)
    (record.folder() / "record.json").write_text(text)
    with pytest.raises(LabError, match=r"record\.json is damaged"):
        record.load()
    assert folder
