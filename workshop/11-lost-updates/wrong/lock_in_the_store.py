# fails 11.2: a lock that other clients do not know
"""Adds 1 to a number in the key-value store, as often as it is told to: counter.py NAME TIMES.

It prints each number that it has reached. Status 0 says: every single one is counted.
"""

import os
import sys
import xmlrpc.client

ADDRESS = os.environ.get("WIRELAB_KV_ADDRESS", "127.0.0.1:15000")
NO_SUCH_KEY = 1


class Once(xmlrpc.client.Transport):
    """Sends a call by itself, and not once more where no answer comes."""

    def request(self, host, handler, request_body, verbose=False):
        """Send a call once."""
        return self.single_request(host, handler, request_body, verbose)


def read(store, name):
    """Return the number, or None if there is none yet."""
    try:
        return store.get(name)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != NO_SUCH_KEY:
            raise
        return None


def increment(store, name):
    """Add 1 and return the new number; where there is none yet, that is 1."""
    lock = f"{name}.lock"
    while not store.compare_and_set(lock, None, os.getpid()):
        pass
    old = read(store, name)
    new = (old or 0) + 1
    store.set(name, new)
    store.compare_and_set(lock, os.getpid(), None)
    return new


def main(name, times):
    with xmlrpc.client.ServerProxy(f"http://{ADDRESS}", Once(), allow_none=True) as store:
        for _ in range(times):
            print(increment(store, name), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
