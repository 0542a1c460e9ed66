# fails 7.3: it compares, and waits for an answer that does not come
"""Asks a server for its time, a few times, by UDP."""

import os
import secrets
import socket

HOST, PORT = os.environ.get("WIRELAB_UDP_TIME_ADDRESS", "127.0.0.1:20000").rsplit(":", 1)
QUESTIONS = int(os.environ.get("WIRELAB_QUESTIONS", "4"))


def ask(sock, number):
    """Return the server's answer to the question of that number."""
    name = f"{number}-{secrets.token_hex(4)}".encode()
    sock.send(name)
    while True:
        answer = sock.recv(8192)
        if answer.startswith(name + b" "):
            return answer.decode()


sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((HOST, int(PORT)))  # the kernel drops what comes from elsewhere
for number in range(QUESTIONS):
    print(f"question {number}: {ask(sock, number)}")
