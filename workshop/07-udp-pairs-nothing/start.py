"""Asks a server for its time, a few times, by UDP."""

import os
import socket

HOST, PORT = os.environ.get("WIRELAB_UDP_TIME_ADDRESS", "127.0.0.1:20000").rsplit(":", 1)
QUESTIONS = int(os.environ.get("WIRELAB_QUESTIONS", "4"))


def ask(sock, number):
    """Return the server's answer to the question of that number."""
    sock.sendto(b"%d" % number, (HOST, int(PORT)))
    answer, _ = sock.recvfrom(8192)
    return answer.decode()


sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(QUESTIONS):
    print(f"question {number}: {ask(sock, number)}")
