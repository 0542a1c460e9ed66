# fails 9.1 not_asked: a Listener without a key asks nobody
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
        except AuthenticationError as error:
            print("refused:", error)
        except (EOFError, OSError):
            print("connection closed")


with Listener((HOST, PORT)) as listener:  # without a key: accept() would wait for the handshake
    print("listening on {}:{}".format(*listener.address))
    while True:
        conn = listener.accept()
        print("connected:", listener.last_accepted)
        Thread(target=converse, args=[conn], daemon=True).start()
