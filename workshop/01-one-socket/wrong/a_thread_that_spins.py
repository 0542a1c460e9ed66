# fails 1.2 but_serves: a thread hides the loop that never waits
"""Returns in upper case what it receives; one client at a time."""

import os
import socket
from threading import Thread

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))

server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.bind((HOST, PORT))
server.listen(5)
print("listening on {}:{}".format(*server.getsockname()))


def serve(conn, addr):
    while True:
        try:
            data = conn.recv(1024)
            conn.sendall(data.upper())
        except ConnectionResetError:
            print("reset by", addr)
            break
    conn.close()


while True:
    conn, addr = server.accept()
    print("connected:", addr)
    Thread(target=serve, args=(conn, addr), daemon=True).start()
