"""The subcommand `http`: one request to httpbin, put together from options."""

import argparse
import re
import sys
from contextlib import nullcontext
from pathlib import Path

from clients.addresses import Address
from clients.cli.options import existing_file, header, number_from, pair, parsed
from clients.cli.output import writable
from clients.http import with_requests, with_urllib
from clients.http.headers import combined
from clients.http.messages import IDEMPOTENT, Wanted

SERVICE = "httpbin"
EXAMPLES = """\
examples:
  clients http GET /get name1=value1 name2=value2       a query; the answer has what was asked
  clients http POST /post --form a=1 -H 'Spam: Eggs'    a form, and a header of one's own
  clients http POST /post --file picture.png            a file, as multipart/form-data
  clients http GET /basic-auth/user/password --user user:password
  clients http HEAD /html -i                            headers only
  clients http GET /redirect/3 -i --no-redirect         where it points to: Location
  clients http GET /delay/3 --timeout 1                 an answer that comes too late
  clients http GET /status/503:3,200:1 --retries 5      one that comes in the end
  clients http GET /range/100000 --output letters       a download with progress
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the subcommand's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "method",
        type=parsed("a method such as GET", method),
        metavar="METHOD",
        help="GET, HEAD, POST, PUT, ...",
    )
    parser.add_argument(
        "path",
        type=parsed("a path such as /get", path),
        metavar="PATH",
        help="on the lab's httpbin, as /get",
    )
    parser.add_argument(
        "params",
        nargs="*",
        type=pair,
        metavar="NAME=VALUE",
        help="a parameter of the query; all of them stand right behind PATH",
    )
    parser.add_argument(
        "-F",
        "--form",
        action="append",
        default=[],
        type=pair,
        metavar="NAME=VALUE",
        help="a field of a form, which is the body (more than once: more fields)",
    )
    parser.add_argument(
        "--file",
        action="append",
        default=[],
        type=existing_file,
        metavar="FILE",
        help="upload this file with the form, as its field 'file' (more than once: more files)",
    )
    parser.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        type=header,
        metavar="'NAME: VALUE'",
        help="a header to send (more than once: more headers, one for each name)",
    )
    parser.add_argument(
        "-u",
        "--user",
        type=parsed("USER:PASSWORD", credentials),
        metavar="USER:PASSWORD",
        help="log in (basic auth)",
    )
    parser.add_argument(
        "--retries",
        type=number_from(0, 100),
        default=0,
        metavar="N",
        help="try up to N times more after a connection error or 429, 500, 502, 503, 504",
    )
    parser.add_argument("--no-redirect", action="store_true", help="show a redirect, stay here")
    parser.add_argument("-i", "--include", action="store_true", help="print the headers too")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the body to FILE")
    parser.add_argument(
        "--library",
        choices=("urllib", "requests"),
        default="urllib",
        help="what sends it (default: %(default)s; look for the difference with /headers)",
    )


def command(options: argparse.Namespace, address: Address) -> None:
    """Send one request; print status, headers with --include, and the body.

    Without --include the status goes to stderr, so that the body alone can be piped.
    """
    if options.retries and options.method not in IDEMPOTENT:
        raise ValueError(
            f"--retries has value {options.retries}. Not for {options.method}, which may not be"
            " repeated (RFC 9110, 9.2.2)"
        )
    if options.output and options.method == "HEAD":
        raise ValueError(f"--output has value {str(options.output)!r}. Not for HEAD: no body comes")
    wanted = Wanted(
        method=options.method,
        path=options.path,
        params=tuple(options.params),
        headers=combined(options.header),
        form=tuple(options.form),
        files=tuple(options.file),
        user=options.user,
        follow=not options.no_redirect,
        retries=options.retries,
    )
    library = with_requests if options.library == "requests" else with_urllib
    with writable(options.output, "--output") if options.output else nullcontext() as sink:
        answer = library.send(f"http://{address}", wanted, options.timeout, sink, show_progress)
    print(answer.status, answer.reason, file=sys.stdout if options.include else sys.stderr)
    if options.include:
        for name, value in answer.headers:
            print(f"{name}: {value}")
        print(flush=True)
    sys.stdout.buffer.write(answer.content)


def show_progress(so_far: int, total: int | None) -> None:
    """Keep one line of a terminal up to date."""
    if sys.stderr.isatty():
        whole = "?" if total is None else f"{total:,}"
        end = "\n" if so_far == total else ""
        print(f"\r{so_far:,} of {whole} bytes", end=end, file=sys.stderr, flush=True)


def method(text: str) -> str:
    """Parse a method: a word, such as GET."""
    if not (text.isascii() and text.isalpha()):
        raise ValueError
    return text.upper()


def path(text: str) -> str:
    """Parse a path, query and all; with one slash first, so that it names no other server."""
    if not re.fullmatch(r"/(?!/)[!-~]*", text) or "#" in text:
        raise ValueError
    return text


def credentials(text: str) -> tuple[str, str]:
    """Parse `user:password`; only the password may have a colon."""
    user, colon, password = text.partition(":")
    if not (user and colon):
        raise ValueError
    return user, password
