# fails 0.2: it says what should be there, and asks nobody
"""Names each service, with its address."""

from clients.addresses import PORTS, address

for service in PORTS:
    print(address(service), service)
