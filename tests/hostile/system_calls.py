"""What strace says of a server that writes to a log: which answers came before data was safe.

strace(1) is to run with `-y`, which names the file of each descriptor, and `-s` of so many bytes
that the data can be found in what is shown; on a server with one thread, so that the calls come
one after the other.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

TRACED = "read,recvfrom,write,pwrite64,fsync,fdatasync,sendto"
LINE = re.compile(r"(\w+)\((\d+<[^>]*>)(?:, (.*))?\) += (-?\d+)")


class SystemCall(NamedTuple):
    """A system call that has returned; `data` are its other arguments, as strace shows them."""

    name: str
    file: str
    data: str
    result: int


def system_calls(trace: str) -> Iterator[SystemCall]:
    """Yield the calls of a trace; raises ValueError if some were made at the same time."""
    if "<unfinished ...>" in trace:
        raise ValueError("calls of several threads")
    for name, file, data, result in LINE.findall(trace):
        yield SystemCall(name, file, data, int(result))


@dataclass
class Verdict:
    """Of the values that were sent to be kept: which were acknowledged, and which too early."""

    acknowledged: list[str] = field(default_factory=list)
    too_early: list[str] = field(default_factory=list)


def verdict(trace: str, value: str, success: str) -> Verdict:
    """Judge a trace; `value` is a pattern of the values, each sent once; `success` an answer's.

    A value is safe once a call has returned 0 that syncs a file, and was begun after the value had
    been written to that file.
    """
    found = Verdict()
    unsynced: dict[str, set[str]] = defaultdict(set)
    safe: set[str] = set()
    asked: dict[str, str] = {}
    for call in system_calls(trace):
        values = re.findall(value, call.data)
        match call.name:
            case "pwrite64" if call.result > 0:
                unsynced[call.file].update(values)
            case "fsync" | "fdatasync" if call.result == 0:
                safe |= unsynced.pop(call.file, set())
            case "recvfrom" | "read" if values:
                asked[call.file] = values[-1]
            case "sendto" | "write" if call.file in asked and success in call.data:
                found.acknowledged.append(asked.pop(call.file))
                if found.acknowledged[-1] not in safe:
                    found.too_early.append(found.acknowledged[-1])
    return found
