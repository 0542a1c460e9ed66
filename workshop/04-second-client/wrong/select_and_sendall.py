# fails 4.4 no_answer: one thread for all, that waits in sendall() for one of them
"""Returns what it receives: one thread that asks which connections are readable."""

import os
from select import select
from socket import AF_INET, SOCK_STREAM, socket

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))


def echo_server(address, backlog=1024):
    sock = socket(AF_INET, SOCK_STREAM)
    sock.bind(address)
    sock.listen(backlog)
    print("listening on {}:{}".format(*sock.getsockname()))
    clients = []
    while True:
        for ready in select([sock, *clients], [], [])[0]:
            if ready is sock:
                clients.append(sock.accept()[0])
            elif msg := received(ready):
                ready.sendall(msg)
            else:
                clients.remove(ready)
                ready.close()


def received(client_sock):
    try:
        return client_sock.recv(8192)
    except ConnectionResetError:
        return b""


if __name__ == "__main__":
    echo_server((HOST, PORT))
