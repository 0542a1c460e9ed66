"""The workshop: lessons that check themselves, for a participant on this machine, offline.

    lesson.toml, checks.py, messages.toml -> run -> outcomes -> what the terminal shows

`lesson` loads a folder of workshop/, `mine` runs the participant's file, `check` is what a lesson's
checks.py is written with, `run` makes outcomes of them, `messages` makes sentences of those. The
containers that one lesson breaks are `cluster`'s.
"""
