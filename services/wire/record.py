"""A record of the wire: what the relay has received, what it has passed on, and what it did to it.

Two connections meet in the relay, the client's and its own to the server. A record has both sides:
`arrived` is when the relay received the piece from its sender, `left` when it sent it to its
receiver. So a diagram can draw a line from one to the other; what was dropped has no `left`.
"""

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Protocol = Literal["tcp", "udp"]
Stream = Literal["upstream", "downstream"]  # from the client to the server; from it to the client
Kind = Literal[
    "open",  # the client has connected (TCP), or has sent a first datagram (UDP)
    "refused",  # the server could not be reached: the client's connection is closed
    "data",  # a piece of a TCP stream, or a datagram
    "fin",  # the end of a TCP stream
    "reset",  # a TCP connection was reset; `stream` says by whom
    "close",  # both sides are closed; for UDP, nothing has passed for a while
]


KNOWN = {"protocol": get_args(Protocol), "kind": get_args(Kind), "stream": get_args(Stream)}
MAX_NUMBER = 2**63  # of a record, times too: with larger ones not everything can be computed


@dataclass(frozen=True, slots=True)
class Action:
    """What a toxic did: its name and type, its seed and draw (0 to 1; None if none was needed).

    `what` is the field's plain English: "dropped", "delayed by 40 ms", "duplicated".
    """

    toxic: str
    type: str
    seed: int
    draw: float | None
    what: str


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that passed. Times are in seconds since the epoch.

    `number` grows by one with each record of a relay. `connection` counts those of a proxy, from 1;
    it is the client's socket for UDP. `offset` is the position in the stream of the first byte, or
    the number of the datagram in its direction; both start at 0. `data` is what was passed on (what
    was received, if it was dropped). `client` and `server` are `host:port` as the relay sees them.
    """

    number: int
    proxy: str
    protocol: Protocol
    connection: int
    kind: Kind
    stream: Stream
    offset: int
    data: bytes
    arrived: float
    left: float | None
    client: str
    server: str
    actions: tuple[Action, ...] = ()


def to_json(record: Record) -> dict[str, Any]:
    """Return a record as JSON has it: `data` in Base64 (RFC 4648)."""
    return {**asdict(record), "data": base64.b64encode(record.data).decode("ascii")}


def from_json(document: Mapping[str, Any]) -> Record:
    """Return the record of a JSON object; KeyError, TypeError or ValueError if it is none."""
    found = {
        **document,
        "data": base64.b64decode(document["data"], validate=True),
        "actions": tuple(_action(action) for action in document["actions"]),
    }
    for name, values in KNOWN.items():
        if found[name] not in values:
            raise ValueError(f"{name} has value {found[name]!r:.100}. Not {' or '.join(values)}")
    for name in ("number", "connection", "offset"):
        _number(name, found[name], int)
    for name in ("proxy", "client", "server"):
        _text(name, found[name])
    _number("arrived", found["arrived"], int, float)
    if found["left"] is not None:
        _number("left", found["left"], int, float)
    return Record(**found)


def _action(document: Mapping[str, Any]) -> Action:
    action = Action(**document)
    for name in ("toxic", "type", "what"):
        _text(name, document[name])
    _number("seed", action.seed, int)
    if action.draw is not None:
        _number("draw", action.draw, int, float)
    return action


def _number(name: str, value: object, *kinds: type[float]) -> None:
    # A bool is an int, and a NaN is neither smaller nor larger than anything.
    if type(value) not in kinds or not 0 <= value < MAX_NUMBER:  # type: ignore[operator]
        raise ValueError(f"{name} has value {value!r:.100}. Not a number from 0 to 2**63")


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} has value {value!r:.100}. Not a text")
