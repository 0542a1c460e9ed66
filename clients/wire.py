"""The wire: what has passed through the relay, as ladders, a picture, JSON, a file for Wireshark.

The relay keeps the latest of it in memory (its journal). What a message says is found out here, by
the decoders of services/wire, and nothing of it reaches the terminal but as visible characters.
"""

import json
import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.addresses import Address
from clients.http.errors import shape_errors
from clients.relay import Relay, RelayError, check_known
from services.wire import pcapng
from services.wire.conversation import Conversation, Conversations, conversations, service_of
from services.wire.diagram import diagram
from services.wire.ladder import ladder
from services.wire.record import Record
from services.wire.svg import svg

if TYPE_CHECKING:
    import argparse

SERVICE = "relay"
LAST = 3  # conversations that are shown
QUIET_SECONDS = 1.0  # after which a connection is shown that is still open, or has no end (UDP)
SILENCE_SECONDS = 60.0  # after which the relay is gone: it says something every 15 s
EMPTY = 'nothing has passed {where} yet: `make demo ARGS="--via relay"` sends something'

MORE = """\
`make wire ARGS="--last 9"` shows more of them,
ARGS="--follow" those to come, ARGS="--help" what else there is"""


def configure(parser: "argparse.ArgumentParser") -> None:
    """Describe the subcommand's arguments."""
    from clients.cli.options import number_from

    parser.epilog = (
        "try:\n"
        "  clients wire                         the last conversations\n"
        "  clients wire --service rpc --last 1\n"
        "  clients wire --follow                and those to come, until Ctrl-C\n"
        "  clients wire --service kv --svg kv.svg\n"
        "  clients wire --pcapng wire.pcapng    all of them, for Wireshark"
    )
    parser.add_argument("--service", metavar="NAME", help="only what passed to and from this one")
    parser.add_argument(
        "--last", type=number_from(1, 1000), metavar="N",
        help=f"so many conversations (default: {LAST}; with --pcapng: all; --svg draws the last)",
    )  # fmt: skip
    parser.add_argument(
        "--follow", action="store_true",
        help="then show each conversation when it ends, or is quiet for a second, until Ctrl-C",
    )  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--svg", type=Path, metavar="FILE", dest="picture", help="draw a picture into this file"
    )
    form.add_argument("--pcapng", type=Path, metavar="FILE", help="write a file for Wireshark")
    form.add_argument(
        "--json", action="store_true", dest="as_json", help="print JSON, a conversation per line"
    )


def command(options: "argparse.Namespace", address: Address) -> None:
    """Show what has passed, and with --follow what passes."""
    relay = Relay(address, options.timeout)
    try:
        wanted = choice(options.service, relay)
        records = [record for record in relay.journal() if wanted(record)]
        if options.picture or options.pcapng:
            if options.follow:
                raise ValueError("--follow shows on the terminal, and writes no file")
            write(options, records)
            return
        show = print_json if options.as_json else print_ladder
        found = conversations(records)
        all_of_them = latest_last(found)
        latest = all_of_them[-(options.last or LAST) :]
        for each in latest:
            show(each, 0)
        if options.follow:
            with suppress(KeyboardInterrupt):
                say("following, until Ctrl-C")
                number = records[-1].number + 1 if records else 0
                coming = new_records(Relay(address, SILENCE_SECONDS), number)
                for each, since in following(filter(is_wanted(wanted), coming), found):
                    show(each, since)
        elif not latest:
            say(empty(options.service))
        elif not options.as_json:
            say(f"{len(latest)} of {len(all_of_them)} conversations. {MORE}")
    except RelayError as error:
        raise ValueError(error) from None


def choice(service: str | None, relay: Relay) -> Callable[[Record], bool]:
    """Return whether a record is wanted; ValueError for a service that the relay does not know."""
    if not service:
        return lambda _: True
    with shape_errors():
        proxies = relay.proxies()
        known = sorted({*proxies, *filter(None, map(service_of, proxies))})
    check_known("service", service, known)
    return lambda record: service in (record.proxy, service_of(record.proxy))


def latest_last(found: Conversations) -> list[Conversation]:
    """Return those with something to show, in order: of some, the relay has only the end."""
    return sorted((each for each in found if each.events), key=lambda each: each.latest)


def is_wanted(wanted: Callable[[Record], bool]) -> Callable[[Record | None], bool]:
    """Return a filter that lets through that there is nothing new, too."""
    return lambda record: record is None or wanted(record)


def write(options: "argparse.Namespace", records: list[Record]) -> None:
    """Write a picture, or a file for Wireshark."""
    from clients.cli.output import writable

    if not (found := latest_last(conversations(records))):
        raise ValueError(empty(options.service))
    if options.picture:
        with writable(options.picture, "--svg") as picture:
            count = picture.write(svg(diagram(found[-1])).encode())
        say(f"{options.picture}: {count:,} bytes")
        return
    if options.last:
        kept = {(each.proxy, each.connection) for each in found[-options.last :]}
        records = [each for each in records if (each.proxy, each.connection) in kept]
    with writable(options.pcapng, "--pcapng") as file:
        count = file.write(pcapng.encode(records))
    say(f"{options.pcapng}: {count:,} bytes")


def empty(service: str | None) -> str:
    """Return that there is nothing to show, and how that changes."""
    return EMPTY.format(where=f"to or from {service}" if service else "through the relay")


def print_ladder(conversation: Conversation, since: int) -> None:
    """Print a conversation, or what has come after so many events, as wide as the terminal."""
    width, _ = shutil.get_terminal_size()  # of COLUMNS, or of the terminal; or 80
    print(ladder(diagram(conversation, since=since), width), end="\n\n", flush=True)


def print_json(conversation: Conversation, since: int) -> None:
    """Print a conversation as one line of JSON."""
    print(json.dumps(document(conversation, since)), flush=True)


def document(conversation: Conversation, since: int = 0) -> dict[str, Any]:
    """Return a conversation as JSON has it, or what has come after so many events."""
    events = conversation.events
    new = conversation.left_out + len(events) - since
    return {
        "proxy": conversation.proxy,
        "service": conversation.service,
        "connection": conversation.connection,
        "protocol": conversation.protocol,
        "client": conversation.client,
        "server": conversation.server,
        "since": since,
        "left_out": max(0, new - len(events)),
        "events": [asdict(event) for event in events[max(0, len(events) - new) :]],
        "ending": conversation.ending,
    }


def new_records(relay: Relay, number: int) -> Iterator[Record | None]:
    """Yield the records from a number on as they come, and None where there is none for a while.

    Raises ConnectionError when the relay ends.
    """
    came: queue.SimpleQueue[Record | Exception] = queue.SimpleQueue()

    def read() -> None:
        try:
            for record in relay.journal(number, follow=True):
                came.put(record)
        except (OSError, RelayError) as error:
            came.put(error)
        came.put(ConnectionError("it has ended"))

    # Who waits for the socket waits for nothing else, and a quiet connection is to be shown.
    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            found = came.get(timeout=QUIET_SECONDS / 2)
        except queue.Empty:
            yield None
            continue
        if isinstance(found, RelayError):
            raise found
        if isinstance(found, Exception):
            raise ConnectionError(f"the journal ends: {found}")
        yield found


def following(
    records: Iterable[Record | None], found: Conversations
) -> Iterator[tuple[Conversation, int]]:
    """Yield each conversation that has ended, or is quiet, and how many events it had before.

    Those that are found already were shown.
    """
    shown = {each: each.count for each in found}
    changed: dict[Conversation, float] = {}  # and when, by our clock
    for record in records:
        now = time.monotonic()
        if record:
            changed[found.add(record)] = now
        for each, latest in list(changed.items()):
            if each.closed or now - latest >= QUIET_SECONDS:
                del changed[each]
                since = shown.get(each, 0)
                if each.count > since:
                    yield each, since
                    shown[each] = each.count
        if len(shown) > 2 * len(found) + 100:  # those that are forgotten there
            shown = {each: shown[each] for each in found if each in shown}


def say(text: str) -> None:
    """Say something beside what is shown, which may go to a file."""
    print(text, file=sys.stderr, flush=True)
