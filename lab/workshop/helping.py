"""`make solution`, `make reset` and `make catch-up`: our files beside the participant's."""

import difflib

from rich.text import Text

from lab.workshop.lesson import lessons
from lab.workshop.participant import MINE, begin, chosen, give, own, put_aside, short, unchanged
from lab.workshop.progress import Progress
from lab.workshop.reading import show_lesson
from lab.workshop.speaker import Speaker

COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def show_solution(number: int | None, yes: bool) -> int:
    """Print the difference between the participant's file and ours."""
    speaker, progress = Speaker(), Progress(MINE)
    of = chosen(number, progress)
    if not (yes or progress.of(of.number).done):
        speaker.say("keep_trying", command=f"`make solution N={of.number} YES=1`")
        return 1
    theirs = own(of) if own(of).exists() else of.start
    lines = list(
        difflib.unified_diff(
            theirs.read_text(encoding="utf-8").splitlines(),
            of.solution.read_text(encoding="utf-8").splitlines(),
            short(theirs),
            short(of.solution),
            lineterm="",
        )
    )
    if not lines:
        speaker.say("same")
    for line in lines:
        speaker.console.print(Text(line, COLOURS.get(line[:1], "")), soft_wrap=True)
    if of.also:
        speaker.line()
        speaker.say("see_also", files=", ".join(f"`{short(path)}`" for path in of.also))
    return 0


def reset(number: int | None) -> int:
    """Begin a lesson's file anew; what was there is kept under another name."""
    speaker, progress = Speaker(), Progress(MINE)
    of = chosen(number, progress)
    progress.lessons.pop(of.number, None)
    file = f"`{short(own(of))}`"
    if own(of).exists() and not unchanged(of):
        aside = put_aside(own(of))
        speaker.say("reset", file=file, kept=f"`{short(aside)}`")
    else:
        speaker.say("nothing_to_reset", file=file)
    begin(of)
    progress.save()
    return 0


def catch_up(number: int | None) -> int:
    """Put our solutions of all lessons before this one beside the participant's; begin it."""
    speaker, progress = Speaker(), Progress(MINE)
    of = chosen(number, progress)
    for each in lessons():
        reached = progress.of(each.number)
        if each.number >= of.number or reached.done:
            continue
        ours = own(each)
        if ours.exists() and unchanged(each):
            ours.unlink()
        elif ours.exists():
            ours = ours.with_name(f"{ours.stem}.ours{ours.suffix}")
        give(each.solution, ours)
        reached.by_us = True
        speaker.say("caught_up", number=each.number, file=f"`{short(ours)}`")
    progress.save()
    return show_lesson(of.number)
