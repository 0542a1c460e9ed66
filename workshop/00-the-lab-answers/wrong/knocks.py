# fails 0.2: a port that accepts is taken for a service that answers
"""Knocks at the door of each service, and names those that open."""

import socket

from clients.addresses import PORTS, address

for service in PORTS:
    where = address(service)
    kind = socket.SOCK_DGRAM if service == "udp-time" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as knocking:
        knocking.settimeout(1)
        if knocking.connect_ex(where) == 0:
            print(where, service)
