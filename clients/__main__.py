"""`python -m clients --help`."""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Nothing is there to clean up yet: Ctrl-C just ends this. Python's handler shows a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from clients.cli.main import run

if __name__ == "__main__":
    run()
