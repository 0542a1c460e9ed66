"""The controls of the CIS Docker Benchmark, what captures packets, and what a web page may try.

`python -m tests.stack.cis > docs/security.md` writes the page; a test holds the two together.
"""

from typing import NamedTuple

VERSION = "1.6.0"
SECTIONS = {
    "4": (12, "Container images and build files"),
    "5": (32, "Container runtime"),
}  # fmt: skip

INTRODUCTION = f"""\
# What a container of the lab may do

The containers are held to the [CIS Docker Benchmark](https://www.cisecurity.org/benchmark/docker),
version {VERSION}, sections 4 and 5: all that is said of images and containers. Each control is
listed once. Most are asserted, by the tests named, against what the engine reports of every
container and image, variants included; the others say why they are not.

What the protocols themselves lack is another matter: [what none of them can give
you](../services/object_echo/README.md#what-none-of-them-can-give-you). What the servers withstand
is measured: [reliability.md](reliability.md). Below are also [the one container that is
root](#what-captures-packets), and [what a browser may be made to do](#what-a-web-page-may-do).
"""


class Control(NamedTuple):
    """One control: what it asks for, what the lab does about it, and the test that holds that."""

    number: str
    asks: str
    here: str
    test: str | None = None


CONTROLS = [
    Control("4.1", "a user of its own",
            "the user 10001, who is nobody on the host; root where packets are captured, see below",
            "test_runs_as_nobody_in_particular"),
    Control("4.2", "trusted base images",
            "not asserted: which base is the choice of whoever builds. It is the official image of"
            " Python, or made here of the distribution's signed packages; `PYTHON_IMAGE` takes one"
            " with a digest"),
    Control("4.3", "no unnecessary packages", "the packages of the lock file, and no pip",
            "test_image_has_its_own_code_and_packages_and_no_root"),
    Control("4.4", "images scanned, and rebuilt with patches",
            "not asserted, as it takes the network: `make audit` names the locked packages with"
            " known vulnerabilities, and `make lock` takes newer ones"),
    Control("4.5", "content trust", "not applicable: the images are neither pushed nor pulled"),
    Control("4.6", "a health check in the image",
            "not so, on purpose: the checks stand in `compose.yaml`, where all else about a"
            " container stands, and 5.27 is asserted"),
    Control("4.7", "no update of package lists as a step of its own",
            "no step of a build updates them; that of etcd, in the step that installs it",
            "test_image_is_built_of_copies_only"),
    Control("4.8", "no set-uid and set-gid programs", "none is left",
            "test_image_has_no_set_uid_programs_and_no_sshd"),
    Control("4.9", "COPY rather than ADD", "COPY", "test_image_is_built_of_copies_only"),
    Control("4.10", "no secrets in the build",
            "indexes of packages and proxies, with their passwords, are in no image or history; the"
            " key is mounted when a container starts",
            "test_builds_reach_packages_as_the_host_does_and_images_do_not_tell"),
    Control("4.11", "verified packages only", "pip takes only what has a hash in the lock file",
            "test_images_get_packages_by_hash_only"),
    Control("4.12", "signed artefacts validated",
            "not applicable: nothing is fetched but packages, by their hashes"),
    Control("5.1", "no swarm mode where it is not needed",
            "not applicable: only `make swarm` turns it on, and `make swarm-down` off again"),
    Control("5.2", "an AppArmor profile, where there is AppArmor",
            "the engine's own, never unconfined", "test_is_confined"),
    Control("5.3", "SELinux options, where there is SELinux",
            "the engine's own, never disabled", "test_is_confined"),
    Control("5.4", "few capabilities", "none at all; one to capture packets, see below",
            "test_has_no_capabilities"),
    Control("5.5", "not privileged", "not privileged", "test_has_no_capabilities"),
    Control("5.6", "no folders of the host",
            "none; of its files the key, read-only. With `MINE=tcp-echo make up` that one service"
            " has `workshop/mine`, read-only",
            "test_shares_nothing_with_the_host"),
    Control("5.7", "no sshd", "there is none in the images",
            "test_image_has_no_set_uid_programs_and_no_sshd"),
    Control("5.8", "no privileged ports", "all ports are above 1023",
            "test_publishes_its_port_on_loopback_only"),
    Control("5.9", "only the ports needed", "the one of `compose.yaml`; of the relay one for each"
            " service, too",
            "test_publishes_its_port_on_loopback_only"),
    Control("5.10", "not the host's network", "a network of the stack's own",
            "test_shares_nothing_with_the_host"),
    Control("5.11", "a limit on memory", "128 or 256 MiB, and 1 GiB for a node of etcd",
            "test_is_limited"),
    Control("5.12", "a CPU priority", "half of the default", "test_is_limited"),
    Control("5.13", "a read-only root", "read-only, but for a /tmp of 16 MiB in memory",
            "test_file_system_is_read_only"),
    Control("5.14", "traffic from one interface of the host", "127.0.0.1, unless `WIRELAB_BIND`"
            " says otherwise. Only what `make class-server` starts is for the network, and says so,"
            " and what `make swarm` is told to `PUBLISH`",
            "test_publishes_its_port_on_loopback_only"),
    Control("5.15", "restarts on failure, five at most",
            "otherwise, on purpose: `unless-stopped`. A server comes back however often it is"
            " killed; the engine itself waits longer after each quick failure, up to a minute",
            "test_server_restarts_and_is_checked"),
    Control("5.16", "not the host's processes", "its own", "test_shares_nothing_with_the_host"),
    Control("5.17", "not the host's IPC", "its own", "test_shares_nothing_with_the_host"),
    Control("5.18", "no devices of the host", "none", "test_shares_nothing_with_the_host"),
    Control("5.19", "ulimits of its own", "16,384 descriptors", "test_is_limited"),
    Control("5.20", "mounts not propagated as shared", "private",
            "test_shares_nothing_with_the_host"),
    Control("5.21", "not the host's UTS namespace", "its own", "test_shares_nothing_with_the_host"),
    Control("5.22", "the seccomp profile", "the engine's own, never disabled", "test_is_confined"),
    Control("5.23", "no privileged `docker exec`",
            "not applicable: no setting; `make shell` does without"),
    Control("5.24", "no `docker exec` as root",
            "not applicable: no setting; `make shell` is the container's user"),
    Control("5.25", "the engine's cgroup", "the engine's", "test_is_limited"),
    Control("5.26", "no additional privileges", "`no-new-privileges`", "test_has_no_capabilities"),
    Control("5.27", "a health check", "one exchange in the server's own protocol",
            "test_server_restarts_and_is_checked"),
    Control("5.28", "the latest version of an image",
            "not applicable: each `make up` builds what stands in the folder"),
    Control("5.29", "a limit on processes", "64, of variants 128", "test_is_limited"),
    Control("5.30", "not the default bridge", "a network of the stack's own",
            "test_shares_nothing_with_the_host"),
    Control("5.31", "not the host's user namespace", "whatever the engine has set up",
            "test_shares_nothing_with_the_host"),
    Control("5.32", "no socket of the engine", "not mounted", "test_shares_nothing_with_the_host"),
]  # fmt: skip


CAPTURE = """\
## What captures packets

`make capture` starts a container that is root and has a capability, NET_RAW, and this is the only
one: to read packets from an interface takes that capability (packet(7)). A user that is not root
cannot have it here: it would come with the file that is executed (capabilities(7)), and 5.26,
`no-new-privileges`, forbids just that. So 4.1 and 5.4 are not so for this container. It shares
the network namespace of the server whose packets it writes, and can do nothing else, as
`test_it_has_one_capability_and_nothing_else` asserts: all other capabilities are dropped, its root
is read-only, nothing of the host is mounted, processes and memory are limited, and what it captures
leaves it by a pipe only. It does not make the interface promiscuous, is part of no profile of
`compose.yaml`, and ends by itself.
"""


BROWSERS = """\
## What a web page may do

A page of any site can have the browser that shows it send requests to 127.0.0.1, and so to the lab.
The browser does not let it read the responses, but kv would store what such a request says: it has
no accounts, and the console would break the network. So both look at where a request is from, and
so does rest; kv and rest do under gunicorn. Clients that are no browsers do not notice.

{}

Not protected are `kv-single` and `rest-single`, which are the recipes as they are, and httpbin,
which has nothing to lose: it sends back what it is sent. The other servers speak no HTTP. A form
can send them its text all the same: tcp-echo returns it, and object-echo and rpc close the
connection, as that is no answer to their challenge.
"""


class Attempt(NamedTuple):
    """What a page of another site may do, what stops it, with which status, and a test of that."""

    does: str
    stopped: str
    status: int
    test: str


ATTEMPTS = [
    Attempt("submits a form, which can have the type `text/plain` and any text in it; or has a"
            " script send bytes without a type",
            "kv wants `text/xml` or `application/xml`. A script may send these only if the server"
            " allows it when the browser asks, with OPTIONS: it does not",
            415, "test_a_web_page_cannot_write"),
    Attempt("sends any request by a script, or a form",
            "the browser says in Origin of which site the page is, or `null` for a file or a frame"
            " in a sandbox, and no page can change that. It has to be the Host",
            403, "test_a_page_of_another_site_is_refused"),
    Attempt("has a name that its owner has made resolve to 127.0.0.1 (DNS rebinding): for the"
            " browser the lab belongs to that site then, and the page can read the responses",
            "the name is in Host. That has to be an address, `localhost` or a name below it, a name"
            " of the service in `compose.yaml`, `relay`, or one of `WIRELAB_HOSTS`",
            421, "test_only_the_pages_of_this_server_may_send_requests"),
    Attempt("submits a form to the console, or embeds its page, its files or its stream of updates",
            "the browser says in Sec-Fetch-Site, or in Origin, that the page is of another site. A"
            " form needs a token besides, which stands in the console's own pages. A link may lead"
            " to the console",
            403, "test_another_form_is_refused"),
    Attempt("shows an answer of rest as a picture, or links to it",
            "nothing: GET changes nothing, and the page cannot read the answer",
            200, "test_a_page_of_another_site_is_refused"),
]  # fmt: skip


def document() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for section, (_, title) in SECTIONS.items():
        rows = [row(control) for control in CONTROLS if control.number.split(".")[0] == section]
        heading = "| control | asks for | here | held by |\n|---|---|---|---|"
        parts.append("\n".join([f"## {section} {title}\n", heading, *rows, ""]))
    heading = "| a page of another site | what stops it | status | held by |\n|---|---|---|---|"
    rows = [
        f"| {each.does} | {each.stopped} | {each.status} | `{each.test}` |" for each in ATTEMPTS
    ]
    return "\n".join([*parts, CAPTURE, BROWSERS.format("\n".join([heading, *rows]))])


def row(control: Control) -> str:
    """Return the line of a control."""
    held = f"`{control.test}`" if control.test else "-"
    return f"| {control.number} | {control.asks} | {control.here} | {held} |"


if __name__ == "__main__":
    print(document(), end="")
