"""What the page costs, how soon it shows what happens, and that it stays so for long."""

import re
import socket
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import pytest
from docker.models.containers import Container
from playwright.sync_api import Page, expect

from clients import rest
from clients.addresses import Address
from lab.testing.service import FindService
from tests.browser.acts import change_network, try_it, wait_for_state
from tests.browser.conftest import Addresses, Visit
from tests.support.engine import SERVICES, run_in
from tests.support.pace import FAR, slowness, within

Figure = Callable[[str], None]

FIRST_PAINT = 0.3  # seconds
SHOWN = 0.3  # seconds from an exchange to its conversation on the page
JUMPS = 0.02  # cumulative layout shift; 0.1 is called good (web.dev/articles/cls)
TRANSFER = 200  # KiB of the page and all that it needs
CORE = 0.08  # of a core: what all servers together take while a page is open
TEN = 0.1  # with ten of them
NOTHING = 0.005  # what the console alone takes without one
WINDOW = 5.0  # seconds, in which the page has each server asked once
TICKS = 100  # a second (sysconf(3), _SC_CLK_TCK)
MANY = 10_000  # conversations
MIB = 1024 * 1024

SHIFTS = """() => {
document.shifts = [];
new PerformanceObserver((list) => list.getEntries().forEach((each) => {
    if (!each.hadRecentInput) document.shifts.push([each.value, ...each.sources.map(
        ({ node }) => node ? `${node.nodeName} ${node.id ?? ""} ${node.className ?? ""}` : "")]);
})).observe({ type: "layout-shift", buffered: true });
}"""
# Resolves in the frame after the one in which a text is on the page, to the time as of time.time().
PAINTED = """(text) => {
    document.painted = new Promise((resolve) => {
        const look = () => {
            if (!document.getElementById("conversations").textContent.includes(text)) return;
            requestAnimationFrame(() => requestAnimationFrame(() =>
                resolve((performance.timeOrigin + performance.now()) / 1000)));
        };
        new MutationObserver(look).observe(document.body, {
            childList: true, subtree: true, characterData: true,
        });
    });
}"""
# Of /proc/PID/stat: the process, its parent, and its time in user mode and in the kernel (proc(5)).
STAT = re.compile(r"^(\d+) \(.*\) \S (\d+)(?: -?\d+){9} (\d+) (\d+) ", re.MULTILINE)
TRANSFERRED = """() => [
    ...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource"),
].reduce((sum, each) => sum + each.transferSize, 0)"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint').map((it) => it.startTime)[0]"


def test_the_page_is_painted_soon_and_is_small(visit: Visit, figure: Figure) -> None:
    """Each time as somebody who has never been there, beside a page of one word."""
    times: dict[str, list[float]] = {"/": [], "/health": []}
    sizes = []
    for _ in range(5):
        for path, found in times.items():
            page = visit(path, locale="en")  # in a browser of its own
            page.wait_for_function(PAINT)
            found.append(float(page.evaluate(PAINT)) / 1000)
            if path == "/":
                sizes.append(int(page.evaluate(TRANSFERRED)))
            page.close()
    word = milliseconds(times["/health"])
    figure(f"first paint: {milliseconds(times['/'])} ms, of one word {word} ms")
    figure(f"transferred for it: {max(sizes) / 1024:.0f} KiB")
    assert within(min(times["/"]), FIRST_PAINT)  # others had to wait for what else runs here
    assert max(sizes) < TRANSFER * 1024


def milliseconds(times: list[float]) -> str:
    """Return times as they are printed."""
    return ", ".join(f"{1000 * each:.0f}" for each in sorted(times))


def test_what_passes_is_soon_on_the_page(visit: Visit, relayed: Addresses, figure: Figure) -> None:
    """From the end of an exchange, which somebody else has made, to the frame that shows it."""
    page = visit()
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    where = relayed["rest"]
    times = []
    for number in range(10):
        word = f"painted-{number}"
        page.evaluate(PAINTED, word)
        rest.hello(where, word, FAR)
        ended = time.time()
        times.append(float(page.evaluate("document.painted")) - ended)
    figure(f"from an exchange to the frame that shows it: {milliseconds(times)} ms")
    assert within(statistics.median(times), SHOWN)


@pytest.mark.usefixtures("control")
def test_nothing_jumps(
    visit: Visit, addresses: Addresses, server: FindService, figure: Figure
) -> None:
    """While conversations come, a server fails and is back, and the network changes."""
    page = visit()
    page.evaluate(SHIFTS)
    expect(page.locator("#service-kv")).to_have_attribute("data-state", "healthy")
    for number in range(10):
        try_it(page, "rest", path=f"/hello?name=number-{number}")
    expect(page.locator("#conversations")).to_contain_text("number-9")
    with server("kv").killed(wait=False):
        wait_for_state(addresses, [page], "kv", "failed")
    wait_for_state(addresses, [page], "kv", "healthy")
    change_network(page, "profile", profile="3g", seed=3)
    expect(page.locator("#active")).to_contain_text("3g")
    change_network(page, "profile", profile="clean")
    expect(page.locator("#active")).not_to_contain_text("3g")
    shifts = page.evaluate("document.shifts")
    jumped = sum(float(each[0]) for each in shifts)
    figure(f"cumulative layout shift: {jumped:.4f}")
    assert jumped <= JUMPS, shifts


def processor_time(container: Container) -> int:
    """Return the ticks that process 1 of a container and its descendants have had (proc(5)).

    Not those of health checks, which are not its children: there are few of them, all at once.
    """
    processes = run_in(container, "sh", "-c", "cat /proc/[0-9]*/stat").output
    ticks, family = 0, {1}
    for process, parent, user, system in sorted(
        tuple(map(int, each)) for each in STAT.findall(processes)
    ):
        if {process, parent} & family:
            family.add(process)
            ticks += user + system
    return ticks


def shares_of_a_core(containers: list[Container]) -> dict[str, float]:
    """Return what the servers take for a while, each as a share of a core."""
    with ThreadPoolExecutor(len(containers)) as pool:
        began, before = time.monotonic(), list(pool.map(processor_time, containers))
        time.sleep(WINDOW)  # what is measured, and nothing is waited for
        after, seconds = list(pool.map(processor_time, containers)), time.monotonic() - began
    return {
        each.labels["com.docker.compose.service"]: (end - start) / TICKS / seconds
        for each, start, end in zip(containers, before, after, strict=True)
    }


@contextmanager
def following(console: Address, count: int) -> Iterator[None]:
    """Read so many streams of updates meanwhile, which is all that as many more pages would do."""
    with ThreadPoolExecutor(count) as pool, ExitStack() as ends:
        for _ in range(count):
            stream = ends.enter_context(socket.create_connection(console, FAR))
            ends.callback(stream.shutdown, socket.SHUT_RDWR)
            stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert stream.recv(12) == b"HTTP/1.1 200"
            pool.submit(read_all, stream)
        yield


def read_all(stream: socket.socket) -> None:
    """Read a stream to its end."""
    while stream.recv(65536):
        pass


def test_an_open_page_costs_little(
    visit: Visit, addresses: Addresses, server: FindService, figure: Figure
) -> None:
    """All servers together; ten pages hardly more than one, and without one the console sleeps."""
    containers = [server(name).container for name in SERVICES]
    closed = shares_of_a_core(containers)
    expect(visit().locator("#link")).to_have_attribute("data-state", "live")
    opened = shares_of_a_core(containers)
    one = sum(opened.values())
    with following(addresses["console"], 9):
        ten = sum(shares_of_a_core(containers).values())
    figure(
        f"the servers take {sum(closed.values()):.1%} of a core, with a page open {one:.1%},"
        f" with ten {ten:.1%}; the console without a page {closed['console']:.1%}, with one"
        f" {opened['console']:.1%}"
    )
    slow = slowness()
    assert one <= CORE * slow
    assert ten <= TEN * slow
    # One of the ticks that are counted here is 0.2 % of a core.
    assert closed["console"] <= max(NOTHING * slow, opened["console"] / 2)


def exchanges(address: Address, count: int) -> None:
    """Make so many connections to tcp-echo, a few at a time, each with one exchange."""

    def exchange(number: int) -> None:
        with socket.create_connection(address, FAR) as connection:
            connection.sendall(b"%d\n" % number)
            assert connection.recv(100)

    with ThreadPoolExecutor(4) as pool:
        deque(pool.map(exchange, range(count)), maxlen=0)  # which raises what one has raised


def used(page: Page, console: Container) -> tuple[int, int, int]:
    """Return the nodes and the bytes of script that a page has, and the bytes of the console."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    found = {
        each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]
    }
    session.detach()
    memory = cast("Any", console.stats(stream=False, one_shot=True))["memory_stats"]["stats"]
    return int(found["Nodes"]), int(found["JSHeapUsedSize"]), memory.get("rss") or memory["anon"]


def test_ten_thousand_conversations_leave_page_and_server_bounded(
    visit: Visit, relayed: Addresses, server: FindService, figure: Figure
) -> None:
    """After the first fifth of them, the others take nothing more; and the page goes on."""
    page = visit()
    console = server("console").container
    exchanges(relayed["tcp-echo"], MANY // 5)
    rest.hello(relayed["rest"], "a-fifth-is-over", FAR)
    expect(page.locator("#conversations")).to_contain_text("a-fifth-is-over")
    before = used(page, console)
    exchanges(relayed["tcp-echo"], MANY - MANY // 5)
    rest.hello(relayed["rest"], "all-is-over", FAR)
    expect(page.locator("#conversations")).to_contain_text("all-is-over")
    after = used(page, console)
    figure(
        f"after {MANY // 5:,} and {MANY:,} conversations the page has {before[0]:,} and"
        f" {after[0]:,} nodes, {before[1] / MIB:.1f} and {after[1] / MIB:.1f} MiB of script, the"
        f" console {before[2] / MIB:.0f} and {after[2] / MIB:.0f} MiB"
    )
    assert after[0] <= 1.2 * before[0]
    assert after[1] <= 1.5 * before[1] + MIB
    assert after[2] <= before[2] + 16 * MIB
    assert page.locator("#conversations li").count() <= 200
