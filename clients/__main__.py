"""`python -m clients --help`."""

import signal

if __name__ == "__main__":
    # Nothing is there to clean up yet: Ctrl-C just ends this, where Python's own handler would show
    # a traceback. make has it wait while Python itself starts.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

from clients.cli.main import run

if __name__ == "__main__":
    run()
