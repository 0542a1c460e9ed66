# fails 2.3 wrong: a recv() of b'\n' is taken for an empty line
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
    rest = b""
    while data := conn.recv(1024):
        print("received:", data)
        if data == b"\n":
            conn.sendall(answer(b""))
            continue
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            conn.sendall(answer(line))


while True:
    conn, addr = server.accept()
    print("connected:", addr)
    conn.settimeout(60)  # seconds: a client that is silent for longer is disconnected
    try:
        serve(conn)
    except OSError as error:  # a reset, or that timeout
        print("ended:", addr, error)
    conn.close()
