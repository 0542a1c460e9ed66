"""What the page costs, how soon it shows what happens, and that it stays so for long."""

import socket
import statistics
import time
from collections.abc import Callable
from typing import Any, cast

import docker
from docker.models.containers import Container
from playwright.sync_api import Page, expect

from clients import rest
from clients.addresses import Address
from clients.relay import Relay
from lab.stack import Stack
from lab.testing.service import FindService
from tests.browser.acts import try_it
from tests.browser.conftest import Visit
from tests.support.pace import FAR, slowness, within

Figure = Callable[[str], None]

FIRST_PAINT = 0.3  # seconds, and some times what a page of one word takes on this machine
SHOWN = 0.3  # seconds from an exchange to its conversation on the page
JUMPS = 0.02  # cumulative layout shift; 0.1 is called good (web.dev/articles/cls)
TRANSFER = 200  # KiB of the page and all that it needs
CORE = 0.08  # of a core: what all containers together take while a page is open
MINUTE = 10.0  # seconds that stand for one
MANY = 10_000  # conversations
MIB = 1024 * 1024

SHIFTS = """
document.shifts = [];
new PerformanceObserver((list) => list.getEntries().forEach((each) => {
    if (!each.hadRecentInput) document.shifts.push([each.value, ...each.sources.map(
        ({ node }) => node ? `${node.nodeName} ${node.id ?? ""} ${node.className ?? ""}` : "")]);
})).observe({ type: "layout-shift", buffered: true });
"""
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
            page = visit(path)
            page.wait_for_function(PAINT)
            found.append(float(page.evaluate(PAINT)) / 1000)
            if path == "/":
                sizes.append(int(page.evaluate(TRANSFERRED)))
            page.close()
    median, word = (statistics.median(found) for found in times.values())
    figure(f"first paint: {milliseconds(times['/'])} ms, of one word {1000 * word:.0f} ms")
    figure(f"transferred for it: {max(sizes) / 1024:.0f} KiB")
    assert median <= FIRST_PAINT + 4 * word
    assert max(sizes) < TRANSFER * 1024


def milliseconds(times: list[float]) -> str:
    """Return times as they are printed."""
    return ", ".join(f"{1000 * each:.0f}" for each in sorted(times))


def test_what_passes_is_soon_on_the_page(visit: Visit, stack: Stack, figure: Figure) -> None:
    """From the end of an exchange, which somebody else has made, to the frame that shows it."""
    page = visit()
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    where = stack.relayed()["rest"]
    times = []
    for number in range(10):
        word = f"painted-{number}"
        page.evaluate(PAINTED, word)
        rest.hello(where, word, FAR)
        ended = time.time()
        times.append(float(page.evaluate("document.painted")) - ended)
    figure(f"from an exchange to the frame that shows it: {milliseconds(times)} ms")
    assert within(statistics.median(times), SHOWN)


def test_nothing_jumps(visit: Visit, control: Relay, server: FindService, figure: Figure) -> None:
    """While conversations come, a server fails and is back, and the network changes."""
    page = visit()
    page.context.add_init_script(SHIFTS)
    page.reload()
    expect(page.locator("#service-kv")).to_have_attribute("data-state", "healthy")
    for number in range(10):
        try_it(page, "rest", path=f"/hello?name=number-{number}")
    expect(page.locator("#conversations")).to_contain_text("number-9")
    with server("kv").killed(wait=False):
        expect(page.locator("#service-kv")).to_have_attribute("data-state", "failed")
    expect(page.locator("#service-kv")).to_have_attribute("data-state", "healthy")
    control.set_profile("3g", 3)
    expect(page.locator("#active")).to_contain_text("3g")
    control.reset()
    expect(page.locator("#active")).not_to_contain_text("3g")
    shifts = page.evaluate("document.shifts")
    jumped = sum(float(each[0]) for each in shifts)
    figure(f"cumulative layout shift: {jumped:.4f}")
    assert jumped <= JUMPS, shifts


def processor_time(stack: Stack, engine: docker.DockerClient) -> float:
    """Return the seconds of a core that the containers of a stack have taken."""
    found = engine.containers.list(filters={"label": f"com.docker.compose.project={stack.project}"})
    used = [int(statistics_of(each)["cpu_stats"]["cpu_usage"]["total_usage"]) for each in found]
    return sum(used) / 1e9


def statistics_of(container: Container) -> dict[str, Any]:
    """Return what the engine counts of a container."""
    return cast("dict[str, Any]", container.stats(stream=False, one_shot=True))


def share_of_a_core(stack: Stack, engine: docker.DockerClient) -> float:
    """Return what the stack takes for a while, as a share of a core."""
    began, before = time.monotonic(), processor_time(stack, engine)
    time.sleep(MINUTE)  # what is measured, and nothing is waited for
    return (processor_time(stack, engine) - before) / (time.monotonic() - began)


def test_an_open_page_costs_little(
    visit: Visit, stack: Stack, engine: docker.DockerClient, figure: Figure
) -> None:
    """Beside what the stack takes anyway."""
    closed = share_of_a_core(stack, engine)
    page = visit()
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    opened = share_of_a_core(stack, engine)
    figure(f"the stack takes {closed:.1%} of a core, with the page open {opened:.1%}")
    assert opened <= CORE * slowness()


def exchanges(address: Address, count: int) -> None:
    """Make so many connections to tcp-echo, one after the other, each with one exchange."""
    for number in range(count):
        with socket.create_connection(address, FAR) as connection:
            connection.sendall(b"%d\n" % number)
            assert connection.recv(100)


def used(page: Page, console: Container) -> tuple[int, int, int]:
    """Return the nodes and the bytes of script that a page has, and the bytes of the console."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    found = {
        each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]
    }
    session.detach()
    memory = statistics_of(console)["memory_stats"]["stats"]
    return int(found["Nodes"]), int(found["JSHeapUsedSize"]), memory.get("rss") or memory["anon"]


def test_ten_thousand_conversations_leave_page_and_server_bounded(
    visit: Visit, stack: Stack, server: FindService, figure: Figure
) -> None:
    """After the first fifth of them, the others take nothing more; and the page goes on."""
    page = visit()
    relayed, console = stack.relayed(), server("console").container
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
