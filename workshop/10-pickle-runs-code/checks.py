"""An attack on the lab's classic RPC server; then the same, in twelve forms, on the participant's.

Each form makes an empty folder, a marker, in a temporary folder, and does nothing else.
"""

import os
import pickle
import secrets
import textwrap
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import psutil

from lab.workshop.check import Failed, Mine, check
from lab.workshop.client import Client
from lab.workshop.objects import enter, exchange, plain, receive, send
from services.wire import pickle_opcodes

COLUMNS = 74  # of the opcodes below a picture
MEANING = 25  # the column in which their meaning begins
POINTER = 8  # bytes
TOO_MUCH = 0.25  # of the memory that a message asks for


@check("10.1", needs="process")
def the_attack(mine: Mine) -> dict[str, object]:
    """Send the participant's pickle to the server of the recipe, which runs what it names."""
    mine.kill()  # the server: here the file is an attacker
    with TemporaryDirectory(prefix="wirelab-") as folder:
        marker = Path(folder) / secrets.token_hex(4)
        ran = mine.run(str(marker))
        if marker.exists():
            raise Failed("by_itself", marker=marker.name)
        try:
            data = bytes.fromhex(ran.output.strip().rpartition("\n")[2])
        except ValueError:
            raise Failed("no_pickle", said=ran.output.strip()[-60:], status=ran.status) from None
        classic = "python", "-m", "services.rpc.classic"
        with (
            mine.ours(*classic, WIRELAB_AUTHKEY_FILE=str(mine.key_file)) as address,
            Client(address, mine.patience, mine.record()) as client,
        ):
            client.recording.lines += opcodes(data)
            enter(client, mine.key)
            send(client, data)
            said = answered(client)
            deadline = time.monotonic() + mine.patience  # a process that it starts takes a moment
            while not marker.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            if not marker.exists():
                raise Failed(size=len(data), marker=marker.name, said=said)
            client.note("the marker is there")
    return {"size": len(data)}


@check("10.2", needs="process")
def the_forms(mine: Mine) -> dict[str, object]:
    """Send twelve pickles that each make a marker, in twelve ways."""
    ran = []
    with TemporaryDirectory(prefix="wirelab-") as folder:
        forms = {name: (Path(folder) / str(at), make) for at, (name, make) in enumerate(FORMS)}
        for name, (marker, make) in forms.items():
            data = pickle.PROTO + b"\4" + make(str(marker)) + pickle.STOP
            with mine.connect() as client:
                client.recording.lines += opcodes(data)
                enter(client, mine.key)
                send(client, data)
                try:
                    receive(client)
                except Failed as failure:
                    if failure.kind == "no_answer":
                        raise
                    # To close is a refusal too.
                if marker.exists():
                    if not ran:
                        client.note(f"{name}: the marker is there")
                    ran.append(name)
    if ran:
        raise Failed(ran=len(ran), count=len(forms), names=", ".join(ran))
    if not served(mine):
        raise Failed("ended", count=len(forms), status=mine.status)
    return {"count": len(forms)}


@check("10.3", needs="process")
def the_memory(mine: Mine) -> dict[str, object]:
    """Send nine bytes for which pickle.loads makes room for many pointers."""
    index = 2**23 + secrets.randbelow(2**20)
    data = pickle.PROTO + b"\4" + pickle.NONE + pickle.LONG_BINPUT + index.to_bytes(4, "little")
    data += pickle.STOP
    asked = 2 * index * POINTER
    with mine.connect() as client:
        client.recording.lines += opcodes(data)
        enter(client, mine.key)
        before = after = peak(mine)
        send(client, data)
        deadline = time.monotonic() + mine.patience
        while client.silent(0.001) and time.monotonic() < deadline:
            after = max(after, peak(mine))
        with suppress(Failed):
            receive(client)
        after = max(after, peak(mine))
        client.note(f"{mebibytes(after - before):.0f} MiB taken")
    figures = {
        "size": len(data),
        "asked": mebibytes(asked),
        "taken": mebibytes(after - before),
    }
    if after - before > TOO_MUCH * asked:
        raise Failed(**figures)
    return figures


@check("10.4")
def the_data(mine: Mine) -> dict[str, object]:
    """Send plain data of all kinds, as each Python writes it, and compare what comes back."""
    count = 0
    with mine.connect() as client:
        enter(client, mine.key)
        for value in plain_data():
            for protocol in (2, 3, 4, 5):
                send(client, pickle.dumps(value, protocol))
                got = plain(receive(client))
                match got:
                    case {"error": str(why)}:
                        name = type(value).__name__
                        raise Failed("not_accepted", type=name, protocol=protocol, why=f"{why:.80}")
                if type(got) is not type(value) or got != value:
                    raise Failed(sent=f"{value!r:.70}", got=f"{got!r:.100}", protocol=protocol)
                count += 1
    return {"count": count}


def plain_data() -> Iterator[object]:
    """Yield plain data, which is another each time."""
    number = secrets.randbelow(1000)
    zone = timezone(timedelta(hours=5, minutes=30))
    now = datetime(2000 + number, 2, 3, 4, 5, 6, number, zone)
    yield from (None, True, number, -(2**70) - number, number / 7, f"é欢{number}", os.urandom(9))
    yield from ([number, [None]], (number, (2, "two"), [3]), {"key": {number: ()}}, {1, number})
    yield from (frozenset({(number, "x")}), bytearray(os.urandom(9)), complex(number, 2))
    yield from (now, now.date(), now.timetz(), {date(2000, 1, 2): [now]})
    yield from (zone, timedelta(number, 1))
    yield from (Decimal(number) / 100, UUID(bytes=os.urandom(16)), OrderedDict(b=number, a=2))


def served(mine: Mine) -> bool:
    """Whether one more client has its object back."""
    with suppress(Failed), mine.connect() as client:
        enter(client, mine.key)
        return bool(exchange(client, [1, "two"]) == [1, "two"])
    return False


def answered(client: Client) -> str:
    """Return what the classic server answers, as text: that the attack is no request, say."""
    try:
        match plain(receive(client)):
            case (False, str(name), (str(why), *_), str()):
                return f"{name}: {why:.80}"
            case other:
                return f"{other!r:.80}"
    except Failed as failure:
        return failure.kind


def peak(mine: Mine) -> int:
    """Return how many bytes of memory it has, or has had where the kernel says that."""
    total = 0
    process = psutil.Process(mine.process.pid)
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    with suppress(OSError):
        status = Path(f"/proc/{process.pid}/status").read_text()
        most = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        total = max(total, 1024 * int(most.split()[1]))
    return total


def mebibytes(size: int) -> float:
    """Return a number of bytes in MiB."""
    return size / 2**20


def opcodes(data: bytes) -> list[str]:
    """Return the opcodes of a pickle and what each does, in lines that fit a terminal."""
    indent = " " * MEANING
    lines: list[str] = []
    for line in pickle_opcodes.read(data, most=20).lines:
        lines += textwrap.wrap(line, COLUMNS, subsequent_indent=indent)
    return ["  " + line.rstrip() for line in lines]


# The opcodes of the twelve forms, of which pickletools tells the meaning.


def text(value: str) -> bytes:
    """Push a text."""
    return pickle.BINUNICODE + len(value.encode()).to_bytes(4, "little") + value.encode()


def named(module: str, name: str) -> bytes:
    """Push what a module has under a name, or dotted names."""
    return text(module) + text(name) + pickle.STACK_GLOBAL


def call(function: bytes, *arguments: bytes) -> bytes:
    """Call what a part of the pickle pushes, with what others push."""
    return function + pickle.MARK + b"".join(arguments) + pickle.TUPLE + pickle.REDUCE


def one_of_os(marker: str) -> bytes:
    """Return the form in every textbook."""
    return call(pickle.GLOBAL + b"os\nmkdir\n", text(marker))


def by_inst(marker: str) -> bytes:
    """Return a call in one opcode, that of instances in Python 1."""
    return pickle.MARK + text(marker) + pickle.INST + b"os\nmkdir\n"


def by_obj(marker: str) -> bytes:
    """Return the same with the function on the stack."""
    return pickle.MARK + pickle.GLOBAL + b"os\nmkdir\n" + text(marker) + pickle.OBJ


def dropped(marker: str) -> bytes:
    """Return a value that is plain data: what was called before is dropped."""
    return one_of_os(marker) + pickle.POP + text("harmless")


def by_posix(marker: str) -> bytes:
    """Return the same function under its other name."""
    return call(named(os.name, "mkdir"), text(marker))


def by_eval(marker: str) -> bytes:
    """Return an expression in Python."""
    return call(named("builtins", "eval"), text(f"__import__('os').mkdir({marker!r})"))


def by_getattr(marker: str) -> bytes:
    """Return it out of built-in functions that sound harmless."""
    module = call(named("builtins", "__import__"), text("os"))
    return call(call(named("builtins", "getattr"), module, text("mkdir")), text(marker))


def by_process(marker: str) -> bytes:
    """Return another program."""
    arguments = pickle.EMPTY_LIST + b"".join(text(part) + b"a" for part in ("mkdir", marker))
    return call(named("subprocess", "check_call"), arguments)


def by_timeit(marker: str) -> bytes:
    """Return code for a function that runs code to measure it."""
    setup = text(f"import os; os.mkdir({marker!r})")
    return call(named("timeit", "repeat"), text(""), setup, named("time", "time"), b"K\1", b"K\1")


def by_dots(marker: str) -> bytes:
    """Return a name with dots, out of a module that plain data needs."""
    return call(named("uuid", "os.mkdir"), text(marker))


def by_pickle(marker: str) -> bytes:
    """Return a pickle in a pickle."""
    inner = pickle.PROTO + b"\4" + one_of_os(marker) + pickle.STOP
    wrapped = pickle.BINBYTES + len(inner).to_bytes(4, "little") + inner
    return call(named("_pickle", "loads"), wrapped)


def by_method(marker: str) -> bytes:
    """Return a method of an object, called by name."""
    path = call(named("pathlib", "Path"), text(marker))
    return call(call(named("operator", "methodcaller"), text("mkdir")), path)


FORMS = (
    ("os.mkdir", one_of_os),
    ("INST", by_inst),
    ("OBJ", by_obj),
    ("POP", dropped),
    (f"{os.name}.mkdir", by_posix),
    ("builtins.eval", by_eval),
    ("builtins.getattr", by_getattr),
    ("subprocess.check_call", by_process),
    ("timeit.repeat", by_timeit),
    ("uuid.os.mkdir", by_dots),
    ("_pickle.loads", by_pickle),
    ("operator.methodcaller", by_method),
)
