"""The relay: `python -m services.relay.server` passes the traffic of all services on (README.md).

One thread does everything: the event loop calls the drivers (tcp.py, udp.py) for the sockets of the
proxies, and uvicorn's protocol for those of the API.
"""

import asyncio
import logging

from services import addresses, event_loop, host_names, listeners, runtime
from services.relay import api, upstreams
from services.relay.documents import ApiError
from services.relay.journal import Journal
from services.relay.proxies import Proxies
from services.relay.proxy import Shared
from services.uvicorn_server import Server
from services.wire.record import Protocol

PROXIES: dict[str, tuple[int, Protocol]] = {  # each service's number + 20
    "tcp-echo": (20020, "tcp"),
    "udp-time": (20020, "udp"),
    "rest": (8100, "tcp"),
    "kv": (15020, "tcp"),
    "object-echo": (25020, "tcp"),
    "rpc": (17020, "tcp"),
    "httpbin": (8101, "tcp"),
}
UPSTREAMS = "localhost 127.0.0.1 ::1 " + " ".join(
    f"{name}=127.0.0.1:{port - 20}" for name, (port, _) in PROXIES.items()
)
NAMES = frozenset({"relay"})  # in the header Host, beside loopback's and WIRELAB_HOSTS
MAX_CONNECTIONS = 256  # with the control

log = logging.getLogger("relay")


def serve(address: runtime.Address) -> None:
    """Serve the API, and relay."""
    event_loop.run(relay(address))


async def relay(address: runtime.Address) -> None:
    """Start the proxies that there are by default, and then the API."""
    shared = Shared(
        journal=Journal(),
        upstreams=runtime.setting("WIRELAB_RELAY_UPSTREAMS", UPSTREAMS, upstreams.parse),
        seed=runtime.setting("WIRELAB_RELAY_SEED", "1", runtime.positive),
        idle=runtime.setting("WIRELAB_RELAY_IDLE_TIMEOUT", "60", runtime.positive),
        call_later=asyncio.get_running_loop().call_later,
    )
    hosts = NAMES | runtime.setting("WIRELAB_HOSTS", "", host_names.parse)
    with listeners.tcp_listener(address) as control:
        proxies = Proxies(shared, (address[0], control.getsockname()[1]))
        for name, default in shared.upstreams.defaults.items():
            start(proxies, name, default)
        server = Server(api.application(proxies, hosts), MAX_CONNECTIONS)
        log.info("listening on %s", listeners.text(control.getsockname()))
        await server.serve([control])


def start(proxies: Proxies, name: str, default: upstreams.Default) -> None:
    """Start a proxy; raises SettingError if that is not possible."""
    usual, usual_protocol = PROXIES.get(name, (0, "tcp"))
    upstream, protocol = default.upstream, default.protocol or usual_protocol
    prefix = f"WIRELAB_RELAY_{name.upper().replace('-', '_')}"
    variable = f"{prefix}_PORT"
    port = runtime.setting(variable, str(usual), runtime.port_number)
    host = runtime.setting(f"{prefix}_HOST", "", addresses.numeric)  # else the control's
    try:
        proxy = proxies.create(
            {"name": name, "listen": f"{host}:{port}", "upstream": upstream, "protocol": protocol}
        )
    except ApiError as error:
        raise runtime.SettingError(f"{variable} has value '{port}'. {error}") from None
    log.info("%s passes from %s to %s", name, proxy.listen, upstream)


if __name__ == "__main__":
    runtime.main(serve, default_port=8474)
