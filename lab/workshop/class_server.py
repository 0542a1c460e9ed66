"""`make class-server`: a kv for what the class has reached, which the network can reach.

It is the service kv-class of compose.yaml, alone: in a container, or where no engine answers as a
process. `make down` stops it, and then its data is gone.
"""

import socket

import psutil

from clients.addresses import Address
from lab import LabError, engine, interrupts, preflight, up
from lab.compose import EVERY_INTERFACE, reached
from lab.console import step
from lab.description import CLASS, Service, services
from lab.local import Local
from lab.stack import Stack
from lab.workshop.speaker import Speaker

# What an engine has made on this machine; nobody else is there.
OF_ENGINES = ("docker", "br-", "veth", "virbr", "podman", "cni")
SOMEWHERE = ("192.0.2.1", 9)  # for documentation (RFC 5737): it is routed as the internet is


def class_server() -> int:
    """Start it, and say how everybody gets there."""
    wanted = described()
    local = Local()
    up.say_stopped(local.stop_strays())
    if local.running() or not engine.answers():
        preflight.require(preflight.checks([wanted], local.bindings(), containers=False))
        with step("starting the class server") as starting:
            local.up([wanted], starting.say)
        where = local.bindings()[wanted.port.setting]
    else:
        where = in_a_container(wanted)
    show(where)
    return 0


def described() -> Service:
    """Return what compose.yaml says of it."""
    (found,) = (each for each in services(profile="*") if CLASS in each.profiles)
    return found


def in_a_container(wanted: Service) -> Address:
    """Start its container, and return where it is published."""
    stack = Stack()
    stack.check_own()
    preflight.require(preflight.checks([wanted], stack.bindings(), containers=True))
    stack.settings["PYTHON_IMAGE"] = engine.base_image()
    stack.build(wanted.speaks)
    try:
        stack.start(CLASS, only=wanted.name)
    except BaseException:
        with interrupts.finishing():
            stack.remove_services([wanted.name])
        raise
    return stack.bindings()[wanted.port.setting]


def address() -> Address:
    """Return where this machine reaches the one that runs here; LabError if there is none."""
    setting = described().port.setting
    local = Local()
    if not (found := local.bindings()) and engine.answers():
        found = Stack().bindings()
    if where := found.get(setting):
        return where._replace(host=reached(where.host))
    raise LabError(
        "no class: `make class-server` starts one here, WIRELAB_CLASS says where another one is"
    )


def show(where: Address) -> None:
    """Say who can reach it, by which addresses, and what everybody does now."""
    speaker = Speaker()
    hosts = [where.host] if where.host not in EVERY_INTERFACE else of_this_machine()
    speaker.line()
    said = "class_alone" if alone(hosts) else "class_open"
    speaker.say(said, "bold yellow", command="`make down`")
    speaker.line()
    speaker.say("class_participants")
    for host in hosts or [reached(where.host)]:
        speaker.text(f"export WIRELAB_CLASS=http://{Address(host, where.port)}", "cyan", 3)
    speaker.say("class_teacher", command="`make class WATCH=1`")


def alone(hosts: list[str]) -> bool:
    """Return whether these addresses are of loopback, or none, so that nobody else gets there."""
    return engine.is_here() and all(host.startswith(("127.", "::1")) for host in hosts)


def of_this_machine() -> list[str]:
    """Return the IPv4 addresses that others may know this machine by, the likeliest first."""
    if not engine.is_here():
        return []
    active = {name for name, found in psutil.net_if_stats().items() if found.isup}
    found = [
        each.address
        for name, addresses in psutil.net_if_addrs().items()
        for each in addresses
        if name in active
        and not name.startswith(OF_ENGINES)
        and each.family == socket.AF_INET
        and not each.address.startswith("127.")
    ]
    likeliest = towards_the_internet()
    return sorted(found, key=lambda host: host != likeliest)


def towards_the_internet() -> str:
    """Return the address that this machine has on the way out, or nothing; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(SOMEWHERE)
        except OSError:
            return ""
        return str(probe.getsockname()[0])
