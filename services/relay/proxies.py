"""The relay's proxies: made, changed and removed as Toxiproxy does, whose API tells it to.

Here are no sockets: the drivers have them. A proxy that is enabled has a listener of its protocol's
driver, and without one it is disabled.
"""

from collections.abc import Mapping
from typing import Any

from services import addresses, runtime
from services.relay import documents, profiles, tcp, udp, upstreams
from services.relay.documents import ApiError, bad_body, missing, take
from services.relay.proxy import TOXICS, Proxy, Shared
from services.relay.toxics import Toxic
from services.wire.record import Protocol

Listener = tcp.Listener | udp.Listener
DRIVERS: dict[Protocol, type[tcp.Listener] | type[udp.Listener]] = {
    "tcp": tcp.Listener,
    "udp": udp.Listener,
}
CUSTOM = "custom"  # the profile, when toxics have been changed one by one


class Proxies:
    """All proxies. `control` is where the API listens, and its host is that of who says none."""

    def __init__(self, shared: Shared, control: runtime.Address) -> None:
        self.shared = shared
        self.host, self.control = control[:2]
        self.profile = "clean"
        self._proxies: dict[str, Proxy] = {}
        self._listeners: dict[Proxy, Listener] = {}

    def all(self) -> list[Proxy]:
        """Return all proxies."""
        return list(self._proxies.values())

    def get(self, name: str) -> Proxy:
        """Return a proxy; raises ApiError."""
        if name not in self._proxies:
            raise ApiError("proxy not found", 404)
        return self._proxies[name]

    def document(self, proxy: Proxy) -> dict[str, Any]:
        """Return a proxy as JSON has it."""
        return documents.of_proxy(proxy, enabled=proxy in self._listeners)

    def create(self, document: Mapping[str, Any]) -> Proxy:
        """Create a proxy, and start it unless it is not enabled; raises ApiError."""
        proxy = self._parse(document)
        if proxy.name in self._proxies:
            raise ApiError("proxy already exists", 409)
        return self._add(proxy, document)

    def populate(self, found: list[Any]) -> tuple[list[Proxy], ApiError | None]:
        """Create proxies, and replace those that listen or lead elsewhere than the same one before.

        Returns those that are there now, and the error that has prevented the rest.
        """
        done: list[Proxy] = []
        try:
            for number, document in enumerate(found, 1):
                for field in ("name", "upstream"):
                    if not take(documents.an_object(document), field, str, ""):
                        raise missing(f"{field} at proxy {number}")
            for proxy in [self._parse(document) for document in found]:
                document = found[len(done)]
                old = self._proxies.get(proxy.name)
                if old and not self._differs(old, proxy.listen, proxy.upstream, proxy.protocol):
                    done.append(old)
                    continue
                if old:
                    self.stop(old)
                done.append(self._add(proxy, document))
        except ApiError as error:
            return done, error
        return done, None

    def update(self, proxy: Proxy, document: Mapping[str, Any]) -> None:
        """Change where a proxy listens or leads, its seed, and whether it is enabled."""
        listen = take(document, "listen", str, proxy.listen)
        upstream = take(document, "upstream", str, proxy.upstream)
        enabled = take(document, "enabled", bool, proxy in self._listeners)
        seed = documents.seed_in(document)
        self._check(listen, upstream)
        if self._differs(proxy, listen, upstream, proxy.protocol):
            self.stop(proxy)
            proxy.listen, proxy.upstream = listen, upstream
        if seed is not None:
            proxy.seed = seed
            proxy.renumber()
        if enabled:
            self.start(proxy)
        else:
            self.stop(proxy)

    def delete(self, proxy: Proxy) -> None:
        """Stop a proxy, and forget it."""
        self.stop(proxy)
        del self._proxies[proxy.name]
        if self.profile == CUSTOM:
            self.profile = self._custom_or_clean()

    def reset(
        self, profile: str = "clean", seed: int | None = None, only: Proxy | None = None
    ) -> None:
        """Enable all, drop all toxics, and add those of a profile; the numbering starts anew.

        The seed is then that of all proxies. With `only`, both are for one proxy.
        """
        if profile not in profiles.PROFILES:
            known = ", ".join(profiles.PROFILES)
            raise bad_body(f"name has value {profile!r}. Not a profile, which are: {known}")
        if seed is not None and not only:
            self.shared.seed = seed
        found = [only] if only else self.all()
        for proxy in found:
            for toxic in list(proxy.toxics):
                proxy.remove(toxic)
            if seed is not None:
                proxy.seed = seed if only else None
            proxy.renumber()
            kinds = TOXICS[proxy.protocol]
            defaults = {kind: effect.attributes for kind, effect in kinds.items()}
            for toxic in profiles.toxics(profile, proxy.protocol, defaults):
                proxy.add(toxic)
        self.profile = self._custom_or_clean() if only else profile
        for proxy in found:  # last, as one of them may not be able to
            self.start(proxy)

    def toxic(self, proxy: Proxy, name: str) -> Toxic:
        """Return a toxic of a proxy; raises ApiError."""
        for toxic in proxy.toxics:
            if toxic.name == name:
                return toxic
        raise ApiError("toxic not found", 404)

    def add_toxic(self, proxy: Proxy, document: Mapping[str, Any]) -> Toxic:
        """Add a toxic; raises ApiError."""
        toxic = added(proxy, document)
        self.profile = CUSTOM
        return toxic

    def change_toxic(self, proxy: Proxy, toxic: Toxic, document: Mapping[str, Any]) -> None:
        """Change attributes and toxicity; raises ApiError."""
        defaults = TOXICS[proxy.protocol][toxic.type].attributes
        attributes = documents.attributes_in(document, defaults, toxic.attributes)
        toxic.toxicity = documents.toxicity_in(document, toxic.toxicity)
        toxic.attributes = attributes
        proxy.tell("change", toxic)
        self.profile = CUSTOM

    def remove_toxic(self, proxy: Proxy, toxic: Toxic) -> None:
        """Remove a toxic."""
        proxy.remove(toxic)
        self.profile = self._custom_or_clean()

    def _custom_or_clean(self) -> str:
        return CUSTOM if any(each.toxics for each in self.all()) else "clean"

    def start(self, proxy: Proxy) -> None:
        """Listen, unless it does so already; raises ApiError if that is not possible."""
        if proxy in self._listeners:
            return
        try:
            address = upstreams.split(proxy.listen, self.host)
            listener = DRIVERS[proxy.protocol](proxy, address)
        except OSError as error:
            raise ApiError(
                f"listen {proxy.protocol} {proxy.listen}: {error.strerror}", 500
            ) from None
        except runtime.SettingError:
            raise ApiError(f"listen {proxy.protocol} {proxy.listen}: no such host", 500) from None
        self._listeners[proxy] = listener
        proxy.listen = addresses.join(*listener.socket.getsockname()[:2])
        self._note_ports()

    def stop(self, proxy: Proxy) -> None:
        """Stop listening, and close the connections."""
        if listener := self._listeners.pop(proxy, None):
            listener.close()
            self._note_ports()

    def _note_ports(self) -> None:
        """Have no proxy lead to one of these."""
        ports = [each.socket.getsockname()[1] for each in self._listeners.values()]
        self.shared.upstreams.own = {self.control, *ports}

    def _parse(self, document: Mapping[str, Any]) -> Proxy:
        """Return a proxy that does not listen yet; raises ApiError."""
        name, upstream, listen = (take(document, field, str, "")
                                  for field in ("name", "upstream", "listen"))  # fmt: skip
        for field, value in (("name", name), ("upstream", upstream)):
            if not value:
                raise missing(field)
        self._check(listen, upstream)
        take(document, "enabled", bool, True)
        protocol, seed = documents.protocol_in(document), documents.seed_in(document)
        proxy = Proxy(self.shared, name, listen, upstream, protocol, seed)
        for toxic in take(document, "toxics", list, []):
            added(proxy, documents.an_object(toxic))
        return proxy

    def _add(self, proxy: Proxy, document: Mapping[str, Any]) -> Proxy:
        if take(document, "enabled", bool, True):
            self.start(proxy)
        self._proxies[proxy.name] = proxy
        if proxy.toxics or self.profile == CUSTOM:
            self.profile = self._custom_or_clean()
        return proxy

    def _check(self, listen: str, upstream: str) -> None:
        """Raise ApiError for addresses that are none, or not allowed."""
        try:
            upstreams.split(listen, self.host)
            problem = self.shared.upstreams.problem(upstream)
        except ValueError as error:
            raise bad_body(error) from None
        if problem:
            raise ApiError(problem, 403)

    def _differs(self, proxy: Proxy, listen: str, upstream: str, protocol: Protocol) -> bool:
        """Whether this is another place to listen or to lead to; localhost is 127.0.0.1."""
        here, there = (
            upstreams.split(place.replace("localhost", "127.0.0.1"), self.host)
            for place in (proxy.listen, listen)
        )
        return (here, proxy.upstream, proxy.protocol) != (there, upstream, protocol)


def added(proxy: Proxy, document: Mapping[str, Any]) -> Toxic:
    """Return the toxic of a document, which the proxy has from now on; raises ApiError."""
    toxic = documents.toxic_in(document, proxy.protocol)
    if toxic.name in [each.name for each in proxy.toxics]:
        raise ApiError("toxic already exists", 409)
    proxy.add(toxic)
    return toxic
