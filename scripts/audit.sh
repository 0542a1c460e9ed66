#!/usr/bin/env bash
# Reports the known vulnerabilities of the packages in all lock files, as PyPI knows them or else
# OSV. Exit codes: 0 none is known; 1 some are, or there is no service to ask.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

cd "$(dirname "$0")/.."
tool=build/audit/bin/pip-audit

# In an environment of its own: none of this is needed to run or to test anything.
install_tool() {
    .venv/bin/python -m venv --clear build/audit
    pip_install build/audit/bin/python requirements/audit.txt
    cp requirements/audit.txt build/audit/audit.txt
}

audit() {
    $tool --vulnerability-service "$@" --disable-pip --strict --progress-spinner off
}

# A service that does not know of this one is none: a mirror that has packages only, say.
knows() {
    echo 'requests==2.19.0' >"$tmp/old.txt"
    audit "$1" --aliases on --no-deps --requirement "$tmp/old.txt" >"$tmp/said" 2>&1 || true
    grep -q CVE-2018-18074 "$tmp/said" || { echo "$1: $(tail -n 1 "$tmp/said")" >>"$tmp/silent" && return 1; }
}

answering() {
    local service
    for service in pypi osv; do
        if knows $service; then
            echo $service >"$tmp/service"
            return
        fi
    done
}

ask() {
    audit "$service" "${files[@]/#/--requirement=}" >"$tmp/found" 2>&1 || touch "$tmp/failed"
}

begin
if ! cmp -s requirements/audit.txt build/audit/audit.txt; then
    step "installing pip-audit" install_tool
fi
step "looking for a service that knows vulnerabilities" answering
service=$(cat "$tmp/service" 2>/dev/null) || cat "$tmp/silent" >&2
[[ -n $service ]] ||
    fail 1 "nothing is known of the packages: neither PyPI nor OSV answers from here with vulnerabilities"
files=(requirements/*.txt)
step "asking $service about ${#files[@]} lock files" ask
cat "$tmp/found"
[[ ! -e $tmp/failed ]]
