#!/usr/bin/env bash
# Runs the tests that another Python can fail on each that the lab supports and this machine has,
# beside the one of .venv: in environments of their own, with the same packages. They are the tests
# of protocols, pickles, signals and event loops, and the clients of the standard library.
# Exit codes: 0 all that were run passed, also where none could be; 1 some failed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cd "$(dirname "$0")/.."

tests=(
    tests/unit/test_{accepting,connection_evented,connection_protocol,connection_sessions}.py
    tests/unit/test_{connections,event_loop,frames,handshake,http_protocol,listeners}.py
    tests/unit/test_{pickle_grammar,plain_types,rpc_calls,runtime,workers}.py
    tests/unit/test_safe_pickle{,_keys,_steps}.py
    tests/contract/test_transcripts.py
)

make_environment() {
    "$1" -m venv --clear "$2"
    pip_install "$2/bin/python" requirements/dev.txt
    touch "$2/ready"
}

begin
ours=$(.venv/bin/python -c 'import sys; print("{}.{}".format(*sys.version_info))')
versions=() failed=()
for version in 3.11 3.12 3.13; do
    [[ $version != "$ours" ]] || continue
    if ! python=$(.venv/bin/python -m tests.interop.pythons $version); then
        echo "test_pythons: no Python $version on this machine: its tests are not run" >&2
        continue
    fi
    versions+=("$version")
    folder=build/python-$version
    if [[ ! $folder/ready -nt requirements/dev.txt ]]; then
        step "making $folder" make_environment "$python" "$folder"
    fi
done
exec 9>&- # the lock: nothing is set up any more
for version in "${versions[@]}"; do
    python=build/python-$version/bin/python
    echo "test_pythons: the tests on $($python -V)" >&2
    $python -m pytest -p no:cacheprovider "${tests[@]}" || failed+=("$version")
done
((${#failed[@]} == 0)) || fail 1 "tests failed on Python ${failed[*]}"
