# fails 4.1 no_answer: target=f() calls it, and makes a thread of what it returns
"""Returns what it receives: accept, serve to the end, accept the next."""

import os
from socket import AF_INET, SOCK_STREAM, socket
from threading import Thread

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))


def echo_handler(address, client_sock):
    try:
        while msg := client_sock.recv(8192):
            client_sock.sendall(msg)
    except OSError as error:
        print("lost", address, error)
    client_sock.close()


def echo_server(address, backlog=1024):
    sock = socket(AF_INET, SOCK_STREAM)
    sock.bind(address)
    sock.listen(backlog)
    print("listening on {}:{}".format(*sock.getsockname()))
    while True:
        client_sock, client_addr = sock.accept()
        thread = Thread(target=echo_handler(client_addr, client_sock), daemon=True)
        thread.start()


if __name__ == "__main__":
    echo_server((HOST, PORT))
