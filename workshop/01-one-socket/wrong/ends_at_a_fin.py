# fails 1.3: a client that closes ends the server, a reset does not
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
        try:
            data = conn.recv(1024)
            if not data:
                print("end of stream:", addr)
                raise SystemExit
            print("received:", data)
            conn.sendall(data.upper())
        except ConnectionResetError:
            print("reset by", addr)
            break
    conn.close()
