"""Where pip and apt take packages from on this machine: what builds of images are told of it."""

import ast
import subprocess
import sys
from pathlib import Path

from lab import SCRIPTS, settings

# The options of pip that say it (pip's user guide, "Configuration"). All others are for other uses
# than ours, or name files that a build does not see.
OPTIONS = (
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host",
    "proxy", "timeout", "default-timeout", "retries",
)  # fmt: skip
ADDRESSES = ("index-url", "extra-index-url", "find-links")


def for_builds() -> dict[str, str]:
    """Return the settings of compose.yaml that tell a build what the pip of this machine knows.

    `WIRELAB_PIP_CONF` is the text of a pip.conf, `WIRELAB_CA_BUNDLE` the path of a file with the
    certificates to trust; both may be empty.
    """
    found = _options()
    cert = found.get("cert", "")
    return {
        "WIRELAB_PIP_CONF": _pip_conf(found),
        "WIRELAB_CA_BUNDLE": settings.ca_bundle() or (cert if Path(cert).is_file() else ""),
    }


def apt_sources() -> str:
    """Return where builds find Debian's packages: `WIRELAB_APT_SOURCES`, maybe empty."""
    script = ["bash", str(SCRIPTS / "apt_sources.sh")]
    return subprocess.run(script, check=True, text=True, stdout=subprocess.PIPE).stdout


def _options() -> dict[str, str]:
    """Return the options that pip finds in its files, and above them in the environment."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=False, text=True, capture_output=True
    ).stdout
    by_section: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.partition(".")
        if section in by_section:
            by_section[section][option] = str(ast.literal_eval(value))
    return by_section["global"] | by_section["install"] | by_section[":env:"]


def _pip_conf(found: dict[str, str]) -> str:
    lines = []
    for option in OPTIONS:
        words = found.get(option, "").split()
        if option in ADDRESSES:  # a folder of this machine is not there in a build
            words = [word for word in words if word.startswith(("http://", "https://"))]
        if words:
            lines.append(f"{option} = {' '.join(words)}")
    return "\n".join(["[global]", *lines, ""]) if lines else ""
