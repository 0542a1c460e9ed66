#!/usr/bin/env bash
# Adds what the benchmark needs: the locked packages of requirements/bench.txt to .venv, and the
# programs in C, compiled into build/bench. On a bare Debian or Ubuntu, as root, gcc and socat are
# installed first.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

compiles() { gcc -E -include stdio.h -x c /dev/null >/dev/null 2>&1; }

install_packages() {
    pip_install .venv/bin/python requirements/bench.txt
    cp requirements/bench.txt .venv/bench.txt
}

compile() {
    mkdir -p build/bench
    gcc -O2 -Wall -Wextra -Werror "${@:3}" -o "$2" "$1"
}

begin
missing=()
compiles || missing+=(gcc libc6-dev)
command -v socat >/dev/null || missing+=(socat)
if ((${#missing[@]})); then
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        fail 1 "the benchmark needs packages that are missing here: ${missing[*]}"
    fi
    update_lists
    step "installing ${missing[*]}" apt_install "${missing[@]}"
fi
if ! cmp -s requirements/bench.txt .venv/bench.txt; then
    step "adding packages to .venv" install_packages
fi
for source in bench/load.c bench/baselines/*.c; do
    program=build/bench/$(basename "$source" .c)
    if [[ ! $program -nt $source || ! $program -nt bench/baselines/address.h ]]; then
        step "compiling $source" compile "$source" "$program"
    fi
done
if [[ ! build/bench/wakeups.so -nt bench/wakeups.c ]]; then
    step "compiling bench/wakeups.c" compile bench/wakeups.c build/bench/wakeups.so -shared -fPIC
fi
