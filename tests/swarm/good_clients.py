"""Clients that behave well while a node dies: each asks one service, again and again, on time.

It runs inside of a container (`python -c`), until its standard input ends. A request that is not
answered within a second is made again, of another replica where there is one. What it prints is
when each service answered, on the monotonic clock, and what was wrong.
"""

import json
import sys
import threading
import time

from clients.addresses import PORTS, Address, replica
from clients.checks import WrongAnswer
from clients.client import client

TIMEOUT = 1.0  # seconds
PAUSE = 0.1


def ask(service: str, answered: list[float], wrong: list[str]) -> None:
    """Ask a service until told to stop."""
    failed = None
    while not stopping.is_set():
        name = Address(service, PORTS[service])
        where = next((each for _ in range(8) if (each := replica(name)) != failed), name)
        try:
            client(service).health(where, TIMEOUT)
            answered.append(time.monotonic())
            failed = None
        except WrongAnswer as error:
            wrong.append(f"{service}: {error}")
        except Exception:  # noqa: BLE001 - whatever it is, there was no answer
            failed = where
        stopping.wait(PAUSE)


stopping = threading.Event()
answers: dict[str, list[float]] = {service: [] for service in PORTS}
wrongs: list[str] = []
threads = [
    threading.Thread(target=ask, args=(service, answers[service], wrongs), daemon=True)
    for service in PORTS
]
for thread in threads:
    thread.start()
while not all(answers.values()):
    time.sleep(PAUSE)
print("started", flush=True)
sys.stdin.read()
stopping.set()
print(json.dumps({"answers": answers, "wrong": wrongs}))
