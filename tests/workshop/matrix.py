"""What each wrong file is told, lesson by lesson, in each language: a page to be read by people."""

from lab.workshop.language import LANGUAGES
from lab.workshop.lesson import Lesson
from tests.workshop.jobs import Job, submitted, wrong

HEAD = "| wrong | fails first | {languages} | also fails |"


def matrix(among: list[Lesson]) -> str:
    """Return the page, of runs that are made where they were not."""
    return "\n\n".join(["# What wrong files are told", *map(section, among)]) + "\n"


def section(of: Lesson) -> str:
    """Return the table of one lesson: what a participant with that file would read."""
    head = HEAD.format(languages=" | ".join(LANGUAGES))
    rule = "|---" * (3 + len(LANGUAGES)) + "|"
    return "\n".join([f"## {of.number} {of.title['en']}\n", head, rule, *map(row, wrong([of]))])


def row(job: Job) -> str:
    """Return what one file was told about the first check that it fails."""
    outcomes = submitted(job).result()
    failed = [check for check, outcome in outcomes.items() if outcome["state"] == "failed"]
    if not failed:
        return f"| {job.file.stem} | none |" + " |" * len(LANGUAGES) + " |"
    first, *others = failed
    kind = outcomes[first]["kind"]
    said = [sentences(outcomes[first]["said"][language]) for language in LANGUAGES]
    cells = [job.file.stem, f"{first} {kind}".strip(), *said, ", ".join(others)]
    return "| " + " | ".join(cells) + " |"


def sentences(said: list[str]) -> str:
    """Return sentences as a cell of a table."""
    return "<br>".join(each.replace("|", "\\|").replace("\n", " ") for each in said)
