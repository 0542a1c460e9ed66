"""How a comparison of variants is shown: live on a terminal, in plain lines elsewhere, a table."""

import json

from rich import box
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from clients.cli.report import escaped, terminal
from clients.cli.variants import TOGETHER, Outcome, compare, variants

MODELS = {
    "raw_loop": "a bare loop",
    "single": "one at a time",
    "stream_handler": "through files",
    "threaded": "a thread each",
    "forked": "a process each",
    "prethreaded": "a fixed pool",
    "evented": "one for all",
    "preforked": "one for each CPU",
    "coroutines": "asyncio streams",
    "callbacks": "asyncio Protocol",
    "classic": "as the recipe",
    "gunicorn": "a WSGI server",
}

EXPLANATION = (
    f"at once: of {TOGETHER} connections that are open together, how many get an answer; a silent"
    " one sends nothing. Times are in ms. first: from connecting to the first answer."
    " p50, p99: exchanges on one connection, one after the other; one with kv is a set and a get."
)


def show(service: str) -> bool:
    """Compare the variants of `service`, show it, and return whether all of them answered."""
    console = terminal()
    if console.is_interactive:
        columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console, transient=True) as progress:
            # The first step is the checks, of all.
            task = progress.add_task("", total=1 + len(variants(service)), completed=-1)
            outcomes = compare(
                service, lambda what: progress.update(task, advance=1, description=what)
            )
    else:
        outcomes = compare(service, lambda what: print(what, flush=True))
    console.print(table(outcomes))
    console.print(EXPLANATION, style="dim", highlight=False)
    return all(not outcome.error for outcome in outcomes)


def as_json(service: str) -> bool:
    """Compare them, print that as one JSON document, return whether all of them answered."""
    outcomes = compare(service, lambda _: None)
    answered = all(not outcome.error for outcome in outcomes)
    rows = [
        {
            "model": outcome.variant.model,
            "address": str(outcome.variant.where),
            "error": outcome.error,
            "checks": outcome.checks,
            "failed": outcome.failed,
            "connections": TOGETHER,
            "served_at_once": outcome.served,
            "served_beside_silent": outcome.beside_silent,
            "first_answer_seconds": round(outcome.first_answer, 6),
            "round_trip_seconds": None
            if outcome.error
            else {f"p{percent}": round(outcome.percentile(percent), 6) for percent in (50, 99)},
        }
        for outcome in outcomes
    ]
    print(json.dumps({"service": service, "answered": answered, "variants": rows}, indent=2))
    return answered


def table(outcomes: list[Outcome], lines: box.Box = box.ROUNDED) -> Table:
    """Lay the outcomes out, a variant to a row."""
    made = Table(box=lines, header_style="bold", expand=False)
    made.add_column("variant", no_wrap=True)
    made.add_column("promises kept")
    made.add_column("at once", no_wrap=True)
    for what in ("first", "p50", "p99"):
        made.add_column(what, justify="right", no_wrap=True)
    for outcome in outcomes:
        name = f"[bold]{outcome.variant}[/]\n[dim]{MODELS.get(outcome.variant.model, '')}[/]"
        if outcome.error:
            where = outcome.variant.where
            made.add_row(name, f"[red]✗ no answer from {where}: {escaped(outcome.error)}[/]")
        else:
            times = (outcome.first_answer, outcome.percentile(50), outcome.percentile(99))
            made.add_row(
                name,
                promises(outcome),
                waiting(outcome),
                *(f"{1000 * time:.2f}" for time in times),
            )
    return made


def promises(outcome: Outcome) -> str:
    """Say how many promises are kept, and which are not and why, with rich's markup."""
    if not outcome.failed:
        return f"[green]✓ all {outcome.checks}[/]"
    kept = outcome.checks - len(outcome.failed)
    reasons = escaped("; ".join(outcome.failed))
    return f"[red]✗ {kept} of {outcome.checks} kept, not: {reasons}[/]"


def waiting(outcome: Outcome) -> str:
    """Say how many connections are served at once, and what becomes of the others."""
    count = f"{outcome.served} of {TOGETHER}"
    if outcome.served < TOGETHER:
        return f"{count},\nothers wait"
    return count if outcome.beside_silent else f"{count}, not\nbeside a silent"
