#!/usr/bin/env bash
# Makes .venv with the locked packages of requirements/dev.txt. On a bare Debian or Ubuntu, as
# root, Python and its venv module are installed first.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

oldest=3.11

usable() { "$1" -c "import ensurepip, sys; sys.exit(sys.version_info < (${oldest/./, }))" 2>/dev/null; }

python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    rm -rf .venv
    "$python" -m venv .venv
    pip_install .venv/bin/python requirements/dev.txt
    touch .venv/ready
}

begin
if ! python=$(python); then
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        fail 1 "Python $oldest or newer with its venv module is needed; python3 is $(python3 -V 2>&1 || true)"
    fi
    update_lists
    step "installing Python" apt_install python3 python3-venv
    python=$(python) || fail 1 "Python $oldest or newer is needed; this system's is $(python3 -V)"
fi
step "making .venv" make_venv
