#!/usr/bin/env bash
# Builds the image with sshd and docker by which tests/swarm reaches an engine, and prints its name;
# installs ssh here where that is missing. Everything else goes to stderr. Exit codes: 0; 1 it
# cannot be built.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

here=$(dirname "$0")
image=wirelab-sshd:trixie

base=$(bash "$here/base_image.sh")
begin
if ! command -v ssh >/dev/null; then
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        fail 1 "engines reached by ssh take the ssh command, which is missing here"
    fi
    update_lists
    step "installing openssh-client" apt_install openssh-client
fi
step "building $image" build_image $image "$base" "$here/../tests/swarm/sshd.Dockerfile" "$here/../tests/swarm"
echo $image
