"""Records of the wire, as JSON and back."""

import json
from typing import Any

import pytest

from services.wire.record import Action, Record, from_json, to_json


def test_a_record_comes_back_from_json() -> None:
    """With all of its bytes, and what was done to them."""
    lost = Action("packet_loss_upstream", "packet_loss", seed=7, draw=0.05, what="dropped")
    record = Record(
        number=12, proxy="udp-time", protocol="udp", connection=3, kind="data", stream="upstream",
        offset=2, data=bytes(range(256)), arrived=1.25, left=None, client="127.0.0.1:50000",
        server="udp-time:20000", actions=(lost,),
    )  # fmt: skip
    assert from_json(json.loads(json.dumps(to_json(record)))) == record


DOCUMENT: dict[str, Any] = {
    "number": 1, "proxy": "rest", "protocol": "tcp", "connection": 1, "kind": "data",
    "stream": "upstream", "offset": 0, "data": "", "arrived": 1.5, "left": None,
    "client": "127.0.0.1:50000", "server": "rest:8080", "actions": [],
}  # fmt: skip
ACTION = {"toxic": "slow", "type": "latency", "seed": 1, "draw": None, "what": "delayed"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, None) for name in DOCUMENT if name not in ("left", "actions", "data")],
        ("number", True), ("number", 1.5), ("connection", -1), ("offset", 2**63),
        ("protocol", "sctp"), ("kind", "half"), ("stream", []), ("proxy", 5), ("server", {}),
        ("arrived", float("nan")), ("arrived", float("inf")), ("arrived", 10**400),
        ("left", "now"), ("left", -0.5), ("data", "x"), ("actions", [{}]), ("more", 1),
        *[("actions", [{**ACTION, name: []}]) for name in ACTION],
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused(name: str, value: object) -> None:
    """A value of another type, or a number that cannot be computed with; who reads it is told."""
    assert from_json({**DOCUMENT, "actions": [ACTION]}).arrived == 1.5
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json({**DOCUMENT, name: value})


@pytest.mark.parametrize("name", DOCUMENT)
def test_a_record_has_all_of_its_fields(name: str) -> None:
    """Without one it is none."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json({key: value for key, value in DOCUMENT.items() if key != name})
