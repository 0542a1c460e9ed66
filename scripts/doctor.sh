#!/usr/bin/env bash
# Says in one screen what the lab has and what it lacks; looks only, and changes nothing.
#
#   ✓ there    – not there, and `make up` copes    ✗ `make up` would fail on this
#
# Exit codes: 0 `make up` can work; 1 something is marked ✗.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cd "$(dirname "$0")/.."

status=0 green='' yellow='' red='' plain=''
if [[ -t 1 && -z ${NO_COLOR-} ]]; then
    green=$'\e[32m' yellow=$'\e[33m' red=$'\e[31m' plain=$'\e[0m'
fi

# line THING TEXT...: cut at 100 columns.
line() {
    local text="${*:3}"
    ((${#text} <= 83)) || text=${text:0:82}…
    printf '%s%s%s %-14s %s\n' "$1" "${1:+${1: -3}}" "$plain" "$2" "$text"
}
