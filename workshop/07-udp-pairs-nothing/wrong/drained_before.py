# fails 7.2: what has come before the question is dropped, and not what comes after it
"""Asks a server for its time, a few times, by UDP."""

import os
import secrets
import socket
import time

HOST, PORT = os.environ.get("WIRELAB_UDP_TIME_ADDRESS", "127.0.0.1:20000").rsplit(":", 1)
QUESTIONS = int(os.environ.get("WIRELAB_QUESTIONS", "4"))
WAIT = 0.3  # seconds, for an answer to one datagram
ATTEMPTS = 5


def drain(sock):
    """Drop all that has come."""
    sock.setblocking(False)
    try:
        while True:
            sock.recv(8192)
    except BlockingIOError:
        pass


def ask(sock, number):
    """Return the server's answer to the question of that number."""
    name = f"{number}-{secrets.token_hex(4)}".encode()
    drain(sock)
    for _ in range(ATTEMPTS):
        sock.send(name)
        deadline = time.monotonic() + WAIT
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                answer = sock.recv(8192)
            except TimeoutError:
                break
            if answer:
                return answer.decode()
    return "no answer"


sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((HOST, int(PORT)))  # the kernel drops what comes from elsewhere
for number in range(QUESTIONS):
    print(f"question {number}: {ask(sock, number)}")
