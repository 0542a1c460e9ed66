"""What has passed, in Prometheus' text format; the first two are named as Toxiproxy names them."""

from collections.abc import Iterable, Iterator

from services.relay.proxy import STREAMS, Proxy, Shared

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(proxies: Iterable[Proxy], shared: Shared) -> str:
    """Return all metrics."""
    return "".join(f"{line}\n" for line in lines(list(proxies), shared))


def lines(proxies: list[Proxy], shared: Shared) -> Iterator[str]:
    """Yield the lines."""
    for name in ("received", "sent"):
        yield f"# TYPE toxiproxy_proxy_{name}_bytes_total counter"
        for proxy in proxies:
            for stream in STREAMS:
                count = getattr(proxy, name)[stream]
                where = labels(direction=stream, listener=proxy.listen, proxy=proxy.name,
                               upstream=proxy.upstream)  # fmt: skip
                yield f"toxiproxy_proxy_{name}_bytes_total{where} {count}"
    yield "# TYPE wirelab_relay_connections_total counter"
    for proxy in proxies:
        where = labels(protocol=proxy.protocol, proxy=proxy.name)
        yield f"wirelab_relay_connections_total{where} {proxy.connections}"
    yield "# TYPE wirelab_relay_actions_total counter"
    for proxy in proxies:
        for (toxic, direction), count in proxy.actions.items():
            where = labels(direction=direction, proxy=proxy.name, toxic=toxic)
            yield f"wirelab_relay_actions_total{where} {count}"
    yield "# TYPE wirelab_relay_journal_records_total counter"
    yield f"wirelab_relay_journal_records_total {shared.journal.next - 1}"
    yield "# TYPE wirelab_relay_open_connections gauge"
    yield f"wirelab_relay_open_connections {shared.connections}"
    yield "# TYPE wirelab_relay_waiting_bytes gauge"
    yield f"wirelab_relay_waiting_bytes {shared.waiting}"


def labels(**values: str) -> str:
    """Return labels; a backslash, a quote and a line feed in a value are escaped."""
    table = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
    return (
        "{" + ",".join(f'{key}="{value.translate(table)}"' for key, value in values.items()) + "}"
    )
