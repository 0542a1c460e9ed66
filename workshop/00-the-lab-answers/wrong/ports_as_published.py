# fails 0.1: it looks at the ports of the documentation, and not where the services are
"""Sweeps the lab's network, and names each service that answers, with its address."""

from clients.addresses import PORTS, Address
from clients.client import client

for service, port in PORTS.items():
    where = Address("127.0.0.1", port)
    try:
        client(service).health(where, 1.0)
    except (OSError, EOFError) as error:
        print("no", service, repr(error))
    else:
        print(where, service)
