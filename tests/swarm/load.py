"""A load for rest, inside of a container (`python -c`): how many requests a second, and who served.

Arguments: the seconds, and how many of the replicas are asked. Each of 16 connections has a request
open at all times.
"""

import json
import select
import socket
import sys
import time

REQUEST = b"GET /hello?name=x HTTP/1.1\r\nHost: rest\r\n\r\n"
CONNECTIONS = 16


def main(seconds: float, count: int) -> None:
    """Make the load, and print what came of it."""
    found = socket.getaddrinfo("rest", 8080, socket.AF_INET, socket.SOCK_STREAM)
    hosts = sorted(str(where[0]) for *_, where in found)[:count]
    served = dict.fromkeys(hosts, 0)
    connections: dict[int, tuple[socket.socket, str]] = {}
    poll = select.epoll()
    for number in range(CONNECTIONS):
        host = hosts[number % len(hosts)]
        connection = socket.create_connection((host, 8080))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[connection.fileno()] = connection, host
        poll.register(connection, select.EPOLLIN)
        connection.send(REQUEST)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for descriptor, _ in poll.poll(1):
            connection, host = connections[descriptor]
            answer = connection.recv(65536)
            if not answer.endswith(b"</html>"):
                sys.exit(f"an answer of {host} is {answer!r}")
            served[host] += 1
            connection.send(REQUEST)
    print(json.dumps({"per_second": sum(served.values()) / seconds, "served": served}))


main(float(sys.argv[1]), int(sys.argv[2]))
