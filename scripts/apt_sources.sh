#!/usr/bin/env bash
# Prints the line of sources.list with which builds of images install Debian's packages; nothing on
# other systems, where the base has its own.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

sources
