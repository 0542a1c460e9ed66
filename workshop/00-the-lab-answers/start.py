"""Sweeps the lab's network, and names each service that answers, with its address."""

from clients import cidr

for found in cidr.sweep(cidr.lab_network()):
    print(f"{found.address!s:21} {found.service:12} {1000 * found.seconds:.1f} ms")
