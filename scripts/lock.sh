#!/usr/bin/env bash
# Pins the packages of each requirements/*.in in a lock file beside it, with hashes and without
# addresses, and where npm is, those of tests/interop/node too. dev is first: the images get the
# versions that the tests ran with. The packages of browser are in no environment with others.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# pin SET [FILE]: `uv` says nothing while it works.
pin() {
    local constraint=() file=${2:-requirements/$1}
    [[ $1 == dev || $1 == browser ]] || constraint=(--constraint requirements/dev.txt)
    .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        "${constraint[@]}" --output-file "$file.txt" "$file.in"
}

pin_npm() {
    cd tests/interop/node
    npm install --silent --package-lock-only --no-audit --omit-lockfile-registry-resolved \
        --save-exact xmlrpc@latest toxiproxy-node-client@latest
}

begin
for set in dev audit bench browser clients console httpbin kv relay rest; do
    step "pinning requirements/$set.in" pin $set
    echo "requirements/$set.txt: $(grep -c == "requirements/$set.txt") packages"
done
for folder in tests/interop/python tests/plugin; do
    step "pinning $folder/requirements.in" pin "$folder" $folder/requirements
done
if command -v npm >/dev/null; then
    step "pinning tests/interop/node/package.json" pin_npm
    echo "tests/interop/node/package-lock.json: $(grep -c integrity tests/interop/node/package-lock.json) packages"
fi
