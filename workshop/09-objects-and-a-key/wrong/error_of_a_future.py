# fails 9.2 ended: the main thread asks for a result, and gets a client's error
"""Sends each object back to the client that sent it; a client has to know the key."""

import os
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Listener, answer_challenge, deliver_challenge
from pathlib import Path

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))
KEY = Path(os.environ["WIRELAB_AUTHKEY_FILE"]).read_bytes().rstrip()


def converse(conn):
    with conn:
        deliver_challenge(conn, KEY)
        answer_challenge(conn, KEY)
        try:
            while True:
                conn.send(conn.recv())
        except (EOFError, OSError):
            print("connection closed")


running = []
with Listener((HOST, PORT)) as listener, ThreadPoolExecutor(100) as pool:
    print("listening on {}:{}".format(*listener.address))
    while True:
        running.append(pool.submit(converse, listener.accept()))
        for future in [each for each in running if each.done()]:
            running.remove(future)
            if future.exception():
                os._exit(1)
