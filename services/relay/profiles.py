"""Networks by name: the toxics that make every proxy of the relay behave like one.

The figures of `3g` and `satellite` are from the table "Network Condition Profiles" in the README of
Comcast (github.com/tylertreat/comcast): latency, bandwidth and loss of "3G/HSDPA (good)", 250 ms,
750 kbit/s and 1.5 %, and of "Satellite", 1,500 ms and 0.2 %. There a latency is added on the way
out only, and so to a round trip once; here each way has half of it. `lossy` is the loss of the
examples in that README, 10 %. In `cut` nothing passes any more, until it is over: then TCP goes on
where it was, as it does when a cable is plugged in again, and datagrams are lost.
"""

from collections.abc import Mapping

from services.relay.proxy import STREAMS
from services.relay.toxics import Toxic
from services.wire.record import Protocol

Toxics = Mapping[str, Mapping[str, float]]  # the attributes that are not the defaults, by the type


def network(latency: int, loss: float, rate: int = 0) -> dict[Protocol, Toxics]:
    """Return toxics: a round trip's latency in ms, a share that is lost, and KB/s (0: no limit)."""
    both: dict[str, Mapping[str, float]] = {"packet_loss": {"loss_rate": loss}}
    if rate:
        both["bandwidth"] = {"rate": rate}
    if latency:
        both["latency"] = {"latency": latency // 2}
    return {"tcp": both, "udp": both}


PROFILES: dict[str, dict[Protocol, Toxics]] = {
    "clean": {"tcp": {}, "udp": {}},
    "3g": network(latency=250, loss=0.015, rate=94),  # 750 kbit/s
    "satellite": network(latency=1500, loss=0.002),
    "lossy": network(latency=0, loss=0.1),
    "cut": {"tcp": {"bandwidth": {"rate": 0}}, "udp": {"blackhole": {}}},
}


def toxics(
    name: str, protocol: Protocol, defaults: Mapping[str, Mapping[str, float]]
) -> list[Toxic]:
    """Return the toxics of a profile for a proxy; KeyError if there is no such profile."""
    return [
        Toxic(f"{kind}_{stream}", kind, stream, 1.0, {**defaults[kind], **attributes})
        for stream in STREAMS
        for kind, attributes in PROFILES[name][protocol].items()
    ]
