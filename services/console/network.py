"""The network: what the relay does to the traffic of each service, as switches and sliders."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

from clients.addresses import RELAY, address
from clients.relay import Relay
from services.console.events import Element
from services.console.rendering import identifier, render
from services.console.view import View
from services.console.wire import NoRelay, answering

EVERY = 3.0  # seconds: somebody may change the network from a terminal
PATIENCE = 3.0  # seconds that the relay may take
MAX_PROXIES = 50
MAX_SEED = 2**63 - 1  # the relay's
NUMBER = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,3})?")
COPIED = ("toxicity", "seed")  # of a toxic, beside its attributes
STREAMS = {"downstream": ("downstream",), "upstream": ("upstream",),
           "both": ("upstream", "downstream")}  # fmt: skip


@dataclass(frozen=True)
class Control:
    """One toxic on the page: its slider is for `attribute`, in `unit`; %: the share as such."""

    type: str
    attribute: str = ""
    most: int = 0
    step: int = 1
    default: int = 0
    unit: str = ""
    least: int = 0

    def shown(self, value: float) -> float:
        """Return the value of the attribute as the slider has it: an int, or up to 3 decimals."""
        value = round(100 * value, 3) if self.unit == "%" else value
        return int(value) if value == int(value) else value

    def sent(self, value: float) -> float:
        """Return what the slider says as the attribute has it."""
        return value / 100 if self.unit == "%" else value


CONTROLS: dict[str, tuple[Control, ...]] = {
    "tcp": (
        Control("latency", "latency", 5000, 50, 500, "ms"),
        Control("bandwidth", "rate", 500, 1, 10, "KB/s"),
        Control("packet_loss", "loss_rate", 100, 5, 20, "%"),
        Control("slicer", "average_size", 500, 1, 10, "bytes", 1),
        Control("slow_close", "delay", 10_000, 500, 2000, "ms"),
        Control("half_close", "bytes", 1000, 1, 10, "bytes"),
        Control("limit_data", "bytes", 1000, 1, 10, "bytes"),
        Control("timeout", "timeout", 10_000, 500, 1000, "ms"),
        Control("reset_peer", "timeout", 10_000, 500, 0, "ms"),
        Control("fail_first", "connections", 20, 1, 1, "connections", 1),
    ),
    "udp": (
        Control("packet_loss", "loss_rate", 100, 5, 30, "%"),
        Control("duplicate", "duplicate_rate", 100, 5, 50, "%"),
        Control("reorder", "reorder_rate", 100, 5, 50, "%"),
        Control("corrupt", "corrupt_rate", 100, 5, 50, "%"),
        Control("latency", "latency", 5000, 50, 500, "ms"),
        Control("bandwidth", "rate", 500, 1, 10, "KB/s"),
        Control("blackhole"),
    ),
}


class BadSetting(ValueError):
    """A form says what cannot be; the message names it."""


@dataclass(frozen=True)
class Toxic:
    """A control as it is for one proxy now; `stream` is one of STREAMS.

    A browser moves a slider to the next value that it can have. So the bounds and the step are such
    that it can have the one that there is, which may come from a profile or a terminal.
    """

    control: Control
    on: bool
    value: float
    stream: str

    @property
    def least(self) -> float:
        """The smallest value of the slider."""
        return min(self.control.least, self.value)

    @property
    def most(self) -> float:
        """The largest value of the slider."""
        return max(self.control.most, self.value)

    @property
    def step(self) -> float:
        """From one value of the slider to the next."""
        step = gcd(1000 * self.control.step, round(1000 * (self.value - self.least))) / 1000
        return int(step) if step == int(step) else step


@dataclass(frozen=True)
class Proxy:
    """A proxy of the relay."""

    name: str
    protocol: str
    upstream: str
    enabled: bool
    toxics: tuple[Toxic, ...]
    others: tuple[str, ...]  # the types of toxics that there is no control for

    @property
    def id(self) -> str:
        """Its part of the ids of elements."""
        return identifier(self.name)

    @property
    def active(self) -> tuple[Toxic, ...]:
        """The toxics that are on."""
        return tuple(toxic for toxic in self.toxics if toxic.on)

    @property
    def effect(self) -> tuple[object, ...]:
        """What it does, to be compared with what others do."""
        on = sorted((each.control.type, each.control.unit, each.value) for each in self.active)
        return self.enabled, tuple(on), self.others

    @property
    def is_clean(self) -> bool:
        """Whether it passes everything on."""
        return self.enabled and not self.active and not self.others


class Network:
    """What the relay does now, as it has said lately."""

    every = EVERY

    def __init__(self) -> None:
        self.problem = ""
        self.profile, self.seed = "", 0
        self.profiles: tuple[str, ...] = ()
        self.proxies: tuple[Proxy, ...] = ()
        self._relay = Relay(address(RELAY), PATIENCE)

    def poll(self) -> None:
        """Ask the relay."""
        try:
            with answering():
                profile, proxies = self._relay.profile(), self._relay.proxies()
                self.profile, self.seed = str(profile["name"]), int(profile["seed"])
                self.profiles = tuple(map(str, profile["profiles"]))
                self.proxies = tuple(map(proxy_of, list(proxies.values())[:MAX_PROXIES]))
            self.problem = ""
        except NoRelay as error:
            self.problem = str(error)

    @property
    def broken(self) -> list[Proxy]:
        """The proxies that do something to what they pass on."""
        return [proxy for proxy in self.proxies if not proxy.is_clean]

    @property
    def alike(self) -> list[list[Proxy]]:
        """The same, those that do the same together."""
        groups: dict[object, list[Proxy]] = {}
        for proxy in self.broken:
            groups.setdefault(proxy.effect, []).append(proxy)
        return list(groups.values())

    def set_profile(self, form: Mapping[str, str]) -> None:
        """Give the network, or one proxy, a profile; raises BadSetting or NoRelay."""
        seed = whole(form, "seed", 0, MAX_SEED) if form.get("seed", "").strip() else None
        with answering():
            self._relay.set_profile(form.get("profile", ""), seed, form.get("proxy", ""))

    def set_toxic(self, form: Mapping[str, str]) -> None:
        """Switch a toxic on or off, or change it; raises BadSetting or NoRelay.

        Without `on` in the form it stays as it is, on or off.
        """
        name, kind = form.get("proxy", ""), form.get("toxic", "")
        if (stream := form.get("stream") or "downstream") not in STREAMS:
            raise BadSetting(f"stream has value {stream[:40]!r}. Not {', '.join(STREAMS)}")
        with answering():
            proxy = self._relay.proxy(name)
        control = control_of(proxy["protocol"], kind)
        there = [each for each in proxy["toxics"] if each["type"] == kind]
        toxic = toxic_of(control, there)
        on = form.get("on", "") == "1" if form.get("on") else toxic.on
        wanted = STREAMS[stream] if on else ()
        value = number(form, toxic) if control.attribute and on else toxic.value
        attributes: dict[str, Any] = {}
        if control.attribute:
            attributes = {control.attribute: control.sent(value)}
        with answering():
            for each in there:
                if each["stream"] not in wanted:
                    self._relay.remove_toxic(name, each["name"])
                elif control.attribute and value_of(control, each) != value:
                    self._relay.change_toxic(name, each["name"], **attributes)
            if there:  # one in another direction is like it, but for what has changed
                like = {**there[0]["attributes"], **{key: there[0][key] for key in COPIED}}
                attributes = like if value == toxic.value else like | attributes
            for way in wanted:
                if all(each["stream"] != way for each in there):
                    self._relay.add_toxic(name, kind, way, **attributes)

    def elements(self, view: View) -> Iterator[Element]:
        """Yield what is active, the profiles, and each proxy."""
        yield Element("active", lambda: render("active", view, network=self))
        yield Element("profiles", lambda: render("profiles", view, network=self))
        names = self.problem, *(proxy.name for proxy in self.proxies)
        yield Element("proxies", lambda: render("proxies", view, network=self), names)
        if not self.problem:
            for proxy in self.proxies:
                yield self.element(view, proxy)

    def element(self, view: View, proxy: Proxy) -> Element:
        """Return what is shown of a proxy."""
        return Element(
            f"network-{proxy.id}", lambda: render("proxy", view, proxy=proxy), inside=True
        )


def control_of(protocol: str, kind: str) -> Control:
    """Return a control; raises BadSetting."""
    for control in CONTROLS.get(protocol, ()):
        if control.type == kind:
            return control
    raise BadSetting(f"toxic has value {kind[:40]!r}. Not one of {protocol}'s")


def proxy_of(document: Mapping[str, Any]) -> Proxy:
    """Return a proxy of what the relay says of it."""
    toxics, protocol = document["toxics"], str(document["protocol"])
    controls = CONTROLS.get(protocol, ())
    known = {control.type for control in controls}
    return Proxy(
        str(document["name"]),
        protocol,
        str(document["upstream"]),
        bool(document["enabled"]),
        tuple(toxic_of(control, toxics) for control in controls),
        tuple(str(each["type"]) for each in toxics if each["type"] not in known),
    )


def toxic_of(control: Control, toxics: list[Mapping[str, Any]]) -> Toxic:
    """Return a control with what the toxics of its type say."""
    found = [each for each in toxics if each["type"] == control.type]
    streams = {str(each["stream"]) for each in found}
    stream = "both" if len(streams) > 1 else next(iter(streams), "downstream")
    value = value_of(control, found[0]) if found and control.attribute else control.default
    return Toxic(control, bool(found), value, stream)


def value_of(control: Control, toxic: Mapping[str, Any]) -> float:
    """Return the value that the slider of a toxic has."""
    value: float = toxic["attributes"][control.attribute]
    return control.shown(value)


def number(form: Mapping[str, str], toxic: Toxic) -> float:
    """Return the value in the form of a toxic; raises BadSetting."""
    if toxic.control.unit != "%":
        return whole(form, "value", int(toxic.least), int(toxic.most))
    text = form.get("value", "").strip()
    if NUMBER.fullmatch(text) and toxic.least <= float(text) <= toxic.most:
        return float(text)
    raise BadSetting(f"value has value {text[:40]!r}. Not a number from 0 to 100")


def whole(form: Mapping[str, str], name: str, least: int, most: int) -> int:
    """Return a whole number of a form; raises BadSetting."""
    text = form.get(name, "").strip()
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    raise BadSetting(f"{name} has value {text[:40]!r}. Not a whole number from {least} to {most}")
