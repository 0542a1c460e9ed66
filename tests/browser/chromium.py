"""Debian's Chromium in a container on the host's network, driven from here by Playwright.

So the browser reaches the console where people do, at a port of loopback, and nothing of it is
installed on the machine. Chromium's own port is on loopback too, for as long as the tests run.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from playwright.sync_api import Browser, sync_playwright

from lab.console import step
from lab.engine import tool_image
from tests.support.pace import until

LISTENING = re.compile(r"DevTools listening on (ws://127\.0\.0\.1:\d+/\S+)")


@contextmanager
def running(engine: docker.DockerClient, downloads: Path) -> Iterator[Browser]:
    """Run a browser, which keeps what it downloads in a folder; lend it to Playwright."""
    with step("building the image of the browser"):
        image = tool_image("browser")
    downloads.chmod(0o777)  # the browser is nobody
    container = engine.containers.run(
        image,
        detach=True,
        init=True,
        network_mode="host",
        cap_drop=["ALL"],
        read_only=True,
        tmpfs={"/tmp": "mode=1777,size=1g"},  # noqa: S108 - in the container
        security_opt=["no-new-privileges"],
        volumes={str(downloads): {"bind": str(downloads), "mode": "rw"}},
        labels={"wirelab.test": "browser"},
    )
    try:

        def listening() -> list[str]:
            return LISTENING.findall(container.logs().decode(errors="replace"))

        (endpoint,) = until(listening, "Chromium listens", every=0.2)
        with sync_playwright() as playwright:
            yield playwright.chromium.connect_over_cdp(endpoint, artifacts_dir=downloads)
    finally:
        container.remove(force=True, v=True)
