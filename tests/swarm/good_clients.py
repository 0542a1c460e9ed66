"""Clients that behave well while a node dies: each asks one service, again and again, on time.

It runs inside of a container (`python -c`), until its standard input ends. An address that is
silent for a second is given up for the next one of the name; a request without an answer is made
again. Printed is when each service answered, on the monotonic clock, and what was wrong.
"""

import json
import sys
import threading
import time

from clients.addresses import PORTS, Address
from clients.checks import WrongAnswer
from clients.client import client

TIMEOUT = 1.0  # seconds
PAUSE = 0.1
LAST = 20.0  # for one more answer of each service at the end


def ask(service: str, answered: list[float], wrong: list[str]) -> None:
    """Ask a service until told to stop."""
    where = Address(service, PORTS[service])
    while not stopping.is_set():
        try:
            client(service).health(where, TIMEOUT)
            answered.append(time.monotonic())
        except WrongAnswer as error:
            wrong.append(f"{service}: {error}")
        except Exception:  # noqa: BLE001, S110 - whatever it is, there was no answer
            pass
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
now = time.monotonic()
while any(times[-1] < now for times in answers.values()) and time.monotonic() < now + LAST:
    time.sleep(PAUSE)
stopping.set()
print(json.dumps({"answers": answers, "wrong": wrongs}))
