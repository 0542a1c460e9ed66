# fails 9.4 several: sixteen threads accept, and so sixteen silent clients are enough
"""Sends each object back to the client that sent it; a client has to know the key."""

import os
from multiprocessing import AuthenticationError
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


def accept():
    while True:
        try:
            conn = listener.accept()
        except (AuthenticationError, EOFError, OSError) as error:
            print("refused:", error)
        else:
            Thread(target=converse, args=[conn], daemon=True).start()


with Listener((HOST, PORT), authkey=KEY) as listener:
    print("listening on {}:{}".format(*listener.address))
    threads = [Thread(target=accept) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
