# fails 1.4 ended: a reset is an exception, and nobody catches it
"""Returns in upper case what it receives; one client at a time."""

import os
import socket

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))

server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.bind((HOST, PORT))
server.listen(5)
print("listening on {}:{}".format(*server.getsockname()))

while True:
    conn, addr = server.accept()
    print("connected:", addr)
    while True:
        data = conn.recv(1024)
        if not data:
            print("end of stream:", addr)
            break
        print("received:", data)
        conn.sendall(data.upper())
    conn.close()
