"""`make lessons` and `make lesson`: the list, and the text of one."""

from rich.text import Text

from lab.workshop import page
from lab.workshop.language import say
from lab.workshop.lesson import Lesson, lessons
from lab.workshop.participant import MINE, begin, chosen, own, short
from lab.workshop.progress import Progress, Reached
from lab.workshop.speaker import Speaker


def show_lessons() -> int:
    """List the lessons, and how far the participant is."""
    speaker, progress = Speaker(), Progress(MINE)
    speaker.line()
    speaker.say("title", "bold")
    speaker.line()
    for each in lessons():
        reached = progress.lessons.get(each.number, Reached())
        going = each.number == progress.current
        mark = ("✓", "green") if reached.done else ("▶", "cyan") if going else ("·", "dim")
        told = [say("minutes", speaker.language, minutes=each.minutes)]
        if reached.by_us and not reached.done:
            told.append(say("by_us", speaker.language))
        name = (each.title[speaker.language], "bold")
        title = Text.assemble(name, (f"  {', '.join(told)}", "dim"))
        page.put(speaker.console, title, 7, Text.assemble(f"{each.number:4} ", mark))
        speaker.text(each.goal[speaker.language], indent=7)
    speaker.line()
    began = 1 if progress.current is None else progress.current
    left = [each.number for each in lessons() if not progress.of(each.number).done]
    if left:
        number = next((each for each in left if each >= began), left[0])
        speaker.say("start", command=f"`make lesson N={number}`")
    else:
        speaker.say("all_done", "bold green", command="`make lesson N=...`")
    return 0


def show_lesson(number: int | None) -> int:
    """Begin a lesson: the participant's file, and the text."""
    speaker, progress = Speaker(), Progress(MINE)
    of = chosen(number, progress)
    new = begin(of)
    progress.current = of.number
    progress.save()
    speaker.page(texts(of, speaker.language)[0])
    speaker.line()
    file = f"`{short(own(of))}`"
    speaker.say("copied" if new else "file", file=file, start=short(of.start))
    speaker.say("then" if of.lines else "as_it_is", command=f"`make check N={of.number}`")
    return 0


def texts(of: Lesson, language: str) -> tuple[str, str]:
    """Return a lesson's text: what is to be read first, and what after a pass."""
    return page.sections((of.folder / f"{language}.md").read_text(encoding="utf-8"))
