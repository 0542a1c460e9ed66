"""How the exercise is shown: live on a terminal, in plain lines elsewhere, then as a table."""

import json
import os
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from clients.cli import exercise
from clients.cli.exercise import Result
from clients.cli.output import writable

WIDTH = 100  # columns, where there is no terminal to ask


def show(
    svg: Path | None = None,
    run: Callable[[], list[Result]] | None = None,
    via_relay: bool = False,
) -> bool:
    """Run the exercise, show it, and return whether all promises were kept.

    The table is also written to `svg`, as a picture, where that is given. Where the exercise is
    `run` elsewhere, only the table is shown.
    """
    with writable(svg, "--svg") if svg else nullcontext() as picture:
        console = terminal()
        if run:
            results = run()
        else:
            results = live(console, via_relay) if console.is_interactive else plain(via_relay)
        console.print(table(results))
        console.print(summary(results), highlight=False)
        if left_out := exercise.left_out(via_relay):
            why = "but for UNIX sockets, as WIRELAB_SOCKETS is not set:"
            if via_relay:
                why = "through the relay, but for what cannot go there:"
            console.print(why, highlight=False)
            for each in left_out:
                console.print(f"  {escaped(each)}", highlight=False)
        if picture:
            picture.write(svg_of(results).encode())
    return all(result.held for result in results)


def terminal() -> Console:
    """Return what tables are printed to: as wide as the terminal, or COLUMNS, or else WIDTH."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=WIDTH)


def as_json(via_relay: bool = False) -> bool:
    """Run the exercise, print it as one JSON document, return whether all promises were kept."""
    results = list(exercise.run(via_relay))
    held = all(result.held for result in results)
    rows = [
        {
            "service": result.service,
            "address": str(result.where),
            "check": result.what,
            "held": result.held,
            "error": result.error,
            "seconds": round(result.seconds, 6),
        }
        for result in results
    ]
    left_out = exercise.left_out(via_relay)
    told = {"left_out": left_out} if left_out else {}
    print(json.dumps({"held": held, "checks": rows, **told}, indent=2))
    return held


def live(console: Console, via_relay: bool = False) -> list[Result]:
    """Run the exercise under a progress bar."""
    results = []
    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        names = [f"{service}: {check.what}" for service, check in exercise.checks(via_relay)]
        task = progress.add_task(names[0], total=len(names))
        for following, result in zip([*names[1:], ""], exercise.run(via_relay), strict=True):
            results.append(result)
            progress.update(task, advance=1, description=following)
    return results


def plain(via_relay: bool = False) -> list[Result]:
    """Run the exercise and print each result as it comes."""
    results = []
    for result in exercise.run(via_relay):
        results.append(result)
        verdict = "ok" if result.held else "FAILED"
        print(f"{verdict:6} {result.service:12} {result.what}", flush=True)
    return results


def table(results: list[Result], lines: box.Box = box.ROUNDED) -> Table:
    """Lay the results out, a section for each service."""
    made = Table(box=lines, header_style="bold", expand=False)
    made.add_column("service", no_wrap=True)
    made.add_column("what was checked")
    made.add_column("result")
    made.add_column("latency", justify="right", no_wrap=True)
    previous = None
    for result in results:
        if previous not in (None, result.service):
            made.add_section()
        made.add_row(
            f"[bold]{result.service}[/]" if result.service != previous else "",
            escaped(result.what),
            "[green]✓ held[/]" if result.held else f"[red]✗ {escaped(result.error)}[/]",
            f"{1000 * result.seconds:.1f} ms",
        )
        previous = result.service
    return made


def summary(results: list[Result]) -> str:
    """Return the outcome in one line, with rich's markup."""
    held = sum(result.held for result in results)
    seconds = sum(result.seconds for result in results)
    style = "bold green" if held == len(results) else "bold red"
    return f"[{style}]{held} of {len(results)} checks held, in {seconds:.1f} s[/]"


def escaped(text: str) -> str:
    """Return `text` with nothing in it that rich would take for markup."""
    return text.replace("[", r"\[")


def svg_of(results: list[Result]) -> str:
    """Return the table as a picture that refers to no other file, fonts included.

    It has no vertical lines: they would have gaps in every font but the one that is left out.
    """
    made = table(results, box.HORIZONTALS)
    with Path("/dev/null").open("w") as nowhere:
        # The same whatever terminal this runs on: a dumb one, or one without colours.
        console = Console(
            record=True, width=WIDTH, height=WIDTH, file=nowhere, force_terminal=True,
            color_system="truecolor", no_color=False,
        )  # fmt: skip
        console.width = console.measure(made).maximum
        console.print(made)
        console.print(f"  {summary(results)}", highlight=False)
        picture = console.export_svg(title="make demo")
    # Rich names itself in a comment, and a font by its address on the web.
    return re.sub(r"<!--.*?-->\s*|@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
