#!/usr/bin/env bash
# Builds an image with tools that Debian has, and prints its name.
#
#   tool_image.sh tools     strace, iptables and tcpdump: for tests/hostile and `make capture`
#   tool_image.sh tshark    tshark, for tests/interop
#   tool_image.sh browser   Chromium, for tests/browser
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
    *) fail 1 "no image '${1-}'; there are tools, tshark, browser" ;;
esac

base=$(bash "$here/base_image.sh")
begin
step "building $image" build_image $image "$base" "$folder/$1.Dockerfile" "$folder"
echo $image
