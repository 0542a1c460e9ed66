# fails 2.2: each recv() is taken for a message
"""Returns each line in upper case, after the number of its characters; one client at a time."""

import os
import socket

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))

server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.bind((HOST, PORT))
server.listen(5)
print("listening on {}:{}".format(*server.getsockname()))


def answer(line):
    """Return the answer to one line, which comes without its line feed."""
    text = line.decode()
    return f"{len(text)} {text.upper()}\n".encode()


def serve(conn):
    """Answer each line, until the end of the stream."""
    while data := conn.recv(1024):
        print("received:", data)
        conn.send(answer(data.removesuffix(b"\n")))


while True:
    conn, addr = server.accept()
    print("connected:", addr)
    conn.settimeout(60)  # seconds: a client that is silent for longer is disconnected
    try:
        serve(conn)
    except OSError as error:  # a reset, or that timeout
        print("ended:", addr, error)
    conn.close()
