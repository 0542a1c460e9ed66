# fails 9.2 ended: a wrong key is an exception too
"""Sends each object back to the client that sent it; a client has to know the key."""

import os
from multiprocessing.connection import Listener
from pathlib import Path
from threading import Thread

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))
KEY = Path(os.environ["WIRELAB_AUTHKEY_FILE"]).read_bytes().rstrip()


def converse(conn):
    with conn:
        try:
            while True:
                conn.send(conn.recv())
        except (EOFError, ConnectionResetError):
            print("connection closed")


with Listener((HOST, PORT), authkey=KEY) as listener:
    print("listening on {}:{}".format(*listener.address))
    while True:
        try:
            conn = listener.accept()
        except (EOFError, OSError):
            continue
        print("connected:", listener.last_accepted)
        Thread(target=converse, args=[conn], daemon=True).start()
