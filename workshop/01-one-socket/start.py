"""Returns in upper case what it receives; one client at a time."""

import os
import socket

server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.bind(("127.0.0.1", int(os.environ.get("WIRELAB_PORT", "6999"))))
server.listen(5)
print("listening on {}:{}".format(*server.getsockname()))

while True:
    conn, addr = server.accept()
    print("connected:", addr)
    while True:
        try:
            data = conn.recv(1024)
            print("received:", data)
            conn.sendall(data.upper())
        except ConnectionResetError:
            print("reset by", addr)
            break
    conn.close()
