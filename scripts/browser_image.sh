#!/usr/bin/env bash
# Builds the image with the Chromium that tests/browser drives, and prints its name.
# Everything else goes to stderr. Exit codes: 0; 1 it cannot be built.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

here=$(dirname "$0")
image=wirelab-browser:trixie

base=$(bash "$here/base_image.sh")
begin
step "building $image" build_image $image "$base" "$here/../tests/browser/chromium.Dockerfile" "$here/../tests/browser"
echo $image
