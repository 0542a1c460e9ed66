"""A time server that answers every datagram, other servers' answers too: `reflector PORT`."""

import socket
import sys
import time

if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", int(sys.argv[1])))
        print("ready", flush=True)
        while True:
            _, peer = server.recvfrom(8192)
            server.sendto(time.ctime().encode(), peer)
