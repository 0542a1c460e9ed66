"""Proxies and toxics as the API has them in JSON, and its errors: those of Toxiproxy.

What Toxiproxy has not (`protocol`, `seed`) are further fields, which its clients ignore.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

from services.relay.proxy import STREAMS, TOXICS, Proxy
from services.relay.toxics import Toxic
from services.wire.record import Protocol

MAX_SEED = 2**63 - 1
MAX_TEXT = 300  # characters of a name or an address: each record of the journal has them


class ApiError(Exception):
    """An error with its text and HTTP status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"error": str(self), "status": self.status}


def bad_body(problem: object) -> ApiError:
    """Return the error for a body that says what cannot be."""
    return ApiError(f"bad request body: {problem}", 400)


def missing(what: str) -> ApiError:
    """Return the error for a field that has to be there."""
    return ApiError(f"missing required field: {what}", 400)


def parse(body: bytes, kind: type) -> Any:
    """Return the JSON value of a body, which has to be an object or an array; raises ApiError."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_body(error) from None
    if kind is list and not isinstance(value, list):
        raise bad_body("not an array of objects")
    return value if kind is list else an_object(value)


def an_object(value: Any) -> dict[str, Any]:
    """Return a JSON object; raises ApiError for what is none."""
    if not isinstance(value, dict):
        raise bad_body(f"{json.dumps(value)[:100]} is not an object")
    return value


def take(document: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """Return a field, or the default where it is absent or null; raises ApiError for its type."""
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, (int, float) if kind is float else kind) or (
        isinstance(value, bool) and kind is not bool
    ):
        wanted = {str: "a string", bool: "true or false", int: "a whole number", float: "a number",
                  dict: "an object", list: "an array"}[kind]  # fmt: skip
        raise bad_body(f"{name} has value {json.dumps(value)[:100]}. Not {wanted}")
    if isinstance(value, str) and not is_text(value):
        shown = json.dumps(value)[:100]
        raise bad_body(f"{name} has value {shown}. Not at most {MAX_TEXT} characters of Unicode")
    return value


def is_text(value: str) -> bool:
    """Whether a string is short enough, and can be sent: JSON may escape half a character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return len(value) <= MAX_TEXT


def seed_in(document: Mapping[str, Any]) -> int | None:
    """Return the seed in a document, or None."""
    seed = take(document, "seed", int, None)
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise bad_body(f"seed has value {seed}. Not a whole number from 0 to {MAX_SEED}")
    return cast("int | None", seed)


def protocol_in(document: Mapping[str, Any]) -> Protocol:
    """Return the protocol in a document: tcp by default."""
    protocol = take(document, "protocol", str, "tcp")
    if protocol not in TOXICS:
        raise bad_body(f"protocol has value {protocol!r}. Not tcp or udp")
    return cast("Protocol", protocol)


def toxic_in(document: Mapping[str, Any], protocol: Protocol) -> Toxic:
    """Return a new toxic; raises ApiError."""
    stream = (take(document, "stream", str, "") or "downstream").lower()
    kind = take(document, "type", str, "")
    name = take(document, "name", str, "") or f"{kind}_{stream}"
    toxicity = toxicity_in(document, 1.0)
    if stream not in STREAMS:
        raise ApiError("stream was invalid, can be either upstream or downstream", 400)
    if kind not in TOXICS[protocol]:
        raise ApiError("invalid toxic type", 400)
    defaults = dict(TOXICS[protocol][kind].attributes)
    attributes = attributes_in(document, defaults, defaults)
    return Toxic(name, kind, cast("Any", stream), toxicity, attributes, seed_in(document))


def toxicity_in(document: Mapping[str, Any], default: float) -> float:
    """Return the toxicity in a document; raises ApiError."""
    toxicity = take(document, "toxicity", float, default)
    if not 0 <= toxicity <= 1:
        raise bad_body(f"toxicity has value {toxicity}. Not a number from 0 to 1")
    return float(toxicity)


def attributes_in(
    document: Mapping[str, Any], defaults: Mapping[str, float], current: Mapping[str, float]
) -> dict[str, float]:
    """Return the current attributes with those in a document; raises ApiError."""
    given = take(document, "attributes", dict, {})
    if unknown := sorted(set(given) - set(defaults)):
        known = ", ".join(defaults) or "none"
        raise bad_body(f"attribute {unknown[0]!r} is not one of this type's, which are: {known}")
    found = dict(current)
    for name in given:
        share = isinstance(defaults[name], float)
        value = take(given, name, float if share else int, found[name])
        if not 0 <= value <= (1 if share else MAX_SEED):
            wanted = "a number from 0 to 1" if share else f"a whole number from 0 to {MAX_SEED}"
            raise bad_body(f"attribute {name} has value {value}. Not {wanted}")
        found[name] = float(value) if share else value
    return found


def of_toxic(toxic: Toxic) -> dict[str, Any]:
    """Return a toxic as JSON has it."""
    return {
        "attributes": toxic.attributes,
        "name": toxic.name,
        "type": toxic.type,
        "stream": toxic.stream,
        "toxicity": toxic.toxicity,
        "seed": toxic.seed,
    }


def of_proxy(proxy: Proxy, *, enabled: bool) -> dict[str, Any]:
    """Return a proxy as JSON has it; its toxics upstream are the first."""
    return {
        "name": proxy.name,
        "listen": proxy.listen,
        "upstream": proxy.upstream,
        "enabled": enabled,
        "protocol": proxy.protocol,
        "seed": proxy.seed,
        "toxics": [of_toxic(each) for stream in STREAMS for each in proxy.toxics
                   if each.stream == stream],
    }  # fmt: skip
