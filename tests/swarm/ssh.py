"""A machine whose engine is reached by ssh: sshd in a container on it, and the ssh that knows it.

The container has the machine's network and the socket of its engine, and comes back with that
engine. `root` may use it; `outsider` may log in and not use the engine, `dockerless` has no docker
command. Keys are of this run, and `ssh` on this machine uses none of its user's own settings.
"""

import shutil
import subprocess
from pathlib import Path

from lab import SCRIPTS
from lab.swarm.nodes import Node
from tests.swarm.machines import Machine, run

CONTAINER = "sshd"
IMAGE = "wirelab-sshd"
PORT = 22
STRANGER = "stranger"  # the machine, by a name that nobody knows the key of

SERVER = f"""\
Port {PORT}
HostKey /ssh/host_key
AuthorizedKeysFile /ssh/key.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
Match User dockerless
    SetEnv PATH=/
"""
CLIENT = """\
IdentityFile {folder}/key
IdentitiesOnly yes
UserKnownHostsFile {folder}/known_hosts
GlobalKnownHostsFile /dev/null
Host {stranger}
    HostName {address}
    HostKeyAlias {stranger}
"""
# ssh has no variable that names its settings: this one is before it in PATH.
WRAPPER = '#!/bin/sh\nexec {ssh} -F {folder}/config "$@"\n'


def serve_ssh(machine: Machine) -> Path:
    """Start sshd on a machine; return the folder with the `ssh` that may log in there."""
    folder = machine.folder / "ssh"
    (folder / "bin").mkdir(parents=True)
    built = subprocess.run(
        ["bash", str(SCRIPTS / "tool_image.sh"), "sshd"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for name in ("key", "host_key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name))
    (folder / "known_hosts").write_text(
        f"{machine.address} {(folder / 'host_key.pub').read_text()}"
    )
    (folder / "sshd_config").write_text(SERVER)
    (folder / "config").write_text(
        CLIENT.format(folder=folder, stranger=STRANGER, address=machine.address)
    )
    wrapper = folder / "bin" / "ssh"
    wrapper.write_text(WRAPPER.format(ssh=shutil.which("ssh"), folder=folder))
    wrapper.chmod(0o755)
    image = built.stdout.strip()
    Node(machine.engine).load([image])
    machine.docker(
        "run", "--detach", "--init", "--name", CONTAINER, "--restart", "always",
        "--network", "host", "--volume", f"{folder}:/ssh:ro",
        "--volume", f"{machine.folder}/docker.sock:/var/run/docker.sock",
        image, "/usr/sbin/sshd", "-D", "-e", "-f", "/ssh/sshd_config",
    )  # fmt: skip
    return folder / "bin"
