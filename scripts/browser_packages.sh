#!/usr/bin/env bash
# Installs the locked packages of requirements/browser.txt into build/playwright, where tests/browser
# looks for them. Not into .venv: httpbin needs an older greenlet than Playwright does.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cd "$(dirname "$0")/.."
folder=build/playwright

made_of() {
    .venv/bin/python -c 'import sys; print(sys.implementation.cache_tag)'
    cat requirements/browser.txt
}

install_packages() {
    rm -rf $folder
    .venv/bin/uv pip install --quiet --python .venv/bin/python --target $folder --no-deps \
        --require-hashes -r requirements/browser.txt
    cp "$tmp/made_of" $folder
}

begin
made_of >"$tmp/made_of"
if ! cmp -s "$tmp/made_of" $folder/made_of; then
    step "installing Playwright" install_packages
fi
