"""Records of the wire, as JSON and back."""

import json

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
