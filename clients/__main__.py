"""`python -m clients --help`."""

from clients.cli.main import run

if __name__ == "__main__":
    run()
