#!/usr/bin/env bash
# Builds an image with tools that Debian has, and prints its name.
#
#   tool_image.sh tools     strace, iptables and tcpdump: for tests/hostile and `make capture`
#   tool_image.sh tshark    tshark, for tests/interop
#   tool_image.sh browser   Chromium, for tests/browser
#   tool_image.sh sshd      sshd and docker, for tests/swarm, with ssh on this machine
#
# Everything else goes to stderr. Exit codes: 0; 1 it cannot be built.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

here=$(dirname "$0")
case ${1-} in
    tools) image=wirelab-tools:trixie folder=$here/../tests/hostile ;;
    tshark) image=wirelab-tshark:trixie folder=$here/../tests/interop ;;
    browser) image=wirelab-browser:trixie folder=$here/../tests/browser ;;
    sshd) image=wirelab-sshd:trixie folder=$here/../tests/swarm ;;
    *) fail 1 "no image '${1-}'; there are tools, tshark, browser, sshd" ;;
esac

install_ssh() {
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        fail 1 "engines reached by ssh take the ssh command, which is missing here"
    fi
    update_lists
    step "installing openssh-client" apt_install openssh-client
}

base=$(bash "$here/base_image.sh")
begin
[[ $1 != sshd ]] || command -v ssh >/dev/null || install_ssh
step "building $image" build_image $image "$base" "$folder/$1.Dockerfile" "$folder"
echo $image
