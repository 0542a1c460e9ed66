# fails 3.1 rst: close() sends RST, which spares a TIME-WAIT, and drops what was not sent yet
"""TCP echo, a bare loop: accept a connection, echo until it ends, accept the next."""

import os
import socket
import struct

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))
CHUNK = 64 * 1024  # bytes


def serve(address):
    """Serve connections, one at a time."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
        print("listening on {}:{}".format(*listener.getsockname()))
        while True:
            client, peer = listener.accept()
            print("connection from", peer)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with client:
                echo(client, peer)


def echo(client, peer):
    """Echo until EOF (the client's FIN)."""
    try:
        while data := client.recv(CHUNK):
            client.sendall(data)
    except OSError as error:
        print("connection from", peer, "closed:", error)


if __name__ == "__main__":
    serve((HOST, PORT))
