#!/usr/bin/env bash
# Builds the image with the foreign clients that tests/interop runs, and prints its name.
# Everything else goes to stderr. Exit codes: 0; 1 it cannot be built.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

cd "$(dirname "$0")/.."
image=wirelab-interop:trixie
context=build/interop

# On the host: npm knows from its own configuration where packages come from.
install_packages() {
    mkdir -p $context
    cp tests/interop/node/package.json tests/interop/node/package-lock.json $context
    npm ci --prefix $context --ignore-scripts --no-audit --no-fund
    cp tests/interop/node/package-lock.json $context/installed.json
}

install_python_packages() {
    rm -rf $context/python
    .venv/bin/uv pip install --quiet --target $context/python --no-deps --require-hashes \
        -r tests/interop/python/requirements.txt
    cp tests/interop/python/requirements.txt $context/installed.txt
}

base=$(bash scripts/base_image.sh)
begin
if ! command -v npm >/dev/null; then
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        fail 1 "the clients in JavaScript need npm, which is missing here"
    fi
    update_lists
    step "installing npm" apt_install npm
fi
if ! cmp -s tests/interop/node/package-lock.json $context/installed.json; then
    step "installing the packages of tests/interop/node" install_packages
fi
if ! cmp -s tests/interop/python/requirements.txt $context/installed.txt; then
    step "installing the packages of tests/interop/python" install_python_packages
fi
step "building $image" build_image $image "$base" tests/interop/clients.Dockerfile $context
echo $image
