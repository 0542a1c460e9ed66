#!/usr/bin/env bash
# Builds the image with tshark that tests/interop uses, and prints its name.
# Everything else goes to stderr. Exit codes: 0; 1 it cannot be built.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

here=$(dirname "$0")
image=wirelab-tshark:trixie

base=$(bash "$here/base_image.sh")
begin
step "building $image" build_image $image "$base" "$here/../tests/interop/tshark.Dockerfile" "$here/../tests/interop"
echo $image
