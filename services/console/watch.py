"""Watches the lab while a page is open, and tells all pages what has changed; else does nothing."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from services.console.events import Broadcast, Element
from services.console.network import Network
from services.console.rendering import render
from services.console.stack import Stack
from services.console.view import View
from services.console.wire import Wire
from services.console.workshop import Workshop

FIRST_SECONDS = 0.15  # that a page waits for what is not known yet; its stream brings the rest
APART_SECONDS = 0.005  # between exchanges, or one would be late because of the others

log = logging.getLogger("console")


class Source(Protocol):
    """A part of the lab that is asked every so many seconds, and shown as some elements."""

    @property
    def every(self) -> float:
        """Seconds from one poll to the next."""

    def poll(self) -> None:
        """Ask; it may wait, and is called in another thread."""

    def elements(self, view: View) -> Iterable[Element]:
        """Return what shows it."""


class Watch:
    """All sources, and the pages that show them."""

    def __init__(self, boot: str) -> None:
        self.wire = Wire()
        self.stack = Stack(self.wire.rate)
        self.network = Network()
        self.workshop = Workshop()
        self.broadcast = Broadcast(boot, self.elements, self._pages_changed)
        self._polls: dict[Source, asyncio.Task[None]] = {}  # those under way
        self._followed: dict[Source, asyncio.Task[None]] = {}

    @property
    def sources(self) -> list[Source]:
        """All of them, the fastest first."""
        return [self.wire, self.network, self.workshop, *self.stack.servers, self.stack]

    def elements(self, view: View) -> Iterator[Element]:
        """Yield all that changes by itself on a page."""
        yield self._announcement(view)
        for source in self.sources:
            yield from source.elements(view)

    async def refresh(self, patience: float = FIRST_SECONDS) -> None:
        """Ask all, unless that goes on anyway, and wait a little for what comes of it."""
        if not self._followed:
            await self._ask_all(self.sources, patience)

    async def ask_servers(self, patience: float) -> None:
        """Ask all servers, and wait for what comes of it."""
        await self._ask_all(self.stack.servers, patience)

    async def _ask_all(self, sources: Iterable[Source], patience: float) -> None:
        polls = []
        for source in sources:
            polls.append(self._poll(source))
            await asyncio.sleep(APART_SECONDS)
        await asyncio.wait(polls, timeout=patience)

    async def ask(self, source: Source) -> None:
        """Ask one source again, now, and tell the pages."""
        if under_way := self._polls.get(source):
            await under_way  # it may have been asked before what is to be seen
        await self._poll(source)

    def _poll(self, source: Source) -> asyncio.Task[None]:
        """Return the poll of a source that is under way, or begin one."""
        if (task := self._polls.get(source)) is None:
            task = self._polls[source] = asyncio.create_task(self._ask(source))
            task.add_done_callback(lambda _: self._polls.pop(source))
        return task

    async def _ask(self, source: Source) -> None:
        try:
            await run_in_threadpool(source.poll)
        except Exception:
            log.exception("a poll has failed")
        self.broadcast.publish(lambda view: [self._announcement(view), *source.elements(view)])

    def _announcement(self, view: View) -> Element:
        """Return the sentence that a screen reader says when it changes."""
        return Element(
            "announcement",
            lambda: render("announcement", view, stack=self.stack, network=self.network),
        )

    def _pages_changed(self) -> None:
        """Begin with the first page, end with the last."""
        if self.broadcast:
            self._follow_new()
        else:
            for task in self._followed.values():
                task.cancel()
            self._followed.clear()

    def _follow_new(self) -> None:
        """Follow sources that are not followed yet, a little after one another."""
        current = self.sources
        for number, source in enumerate(current):
            if source not in self._followed:
                delay = source.every * number / len(current)
                self._followed[source] = asyncio.create_task(self._follow(source, delay))
        for source in [each for each in self._followed if each not in current]:
            self._followed.pop(source).cancel()

    async def _follow(self, source: Source, delay: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + delay
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = loop.time() + source.every
            # Not cancelled with this task: another one may wait for it too.
            await asyncio.wait([self._poll(source)])
            if source is self.stack:
                self._follow_new()
