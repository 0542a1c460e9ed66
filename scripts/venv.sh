#!/usr/bin/env bash
# Makes .venv with the locked packages of requirements/dev.txt, unless it holds them already. On a
# bare Debian or Ubuntu, as root, Python and its venv module are installed first.
#
#   venv.sh         makes sure that .venv is up to date
#   venv.sh any     is content with an older one that runs the lab: whoever stops it or reads its
#                   logs needs no new packages, and may be offline
#   venv.sh check   exits 0 if .venv is up to date
#
# An environment cannot be renamed, as its programs name its folder. So .venv is a link, and changes
# to a new folder when that is complete. The old one goes when the next is made: until then, what
# runs in it goes on.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cd "$(dirname "$0")/.."

oldest=3.11
mode=${1-}

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

# made_of FOLDER: all that decides whether an environment is the one wanted. Contents, not times:
# those say when a file was checked out.
made_of() {
    "$1/bin/python" -c 'import sys; print(sys.implementation.cache_tag)'
    pwd -P
    cat requirements/dev.txt
}

current() { [[ -f .venv/made_of ]] && made_of .venv 2>/dev/null | cmp -s - .venv/made_of; }

runs_the_lab() { .venv/bin/python -c 'import lab.__main__' 2>/dev/null; }

# complete FOLDER: every package that all systems get is there, and what the tasks run starts.
complete() {
    "$1/bin/python" -c '
import importlib.metadata, pathlib, re
import lab.__main__, mypy, pytest
lock = pathlib.Path("requirements/dev.txt").read_text()
for name, version in re.findall(r"^([\w.-]+)(?:\[.*\])?==([^\s;]+) \\$", lock, re.MULTILINE):
    found = importlib.metadata.version(name)
    assert found == version, f"{name} is {found}, not {version}"
'
}

make_venv() {
    "$python" -m venv "$unfinished"
    pip_install "$unfinished/bin/python" requirements/dev.txt
    complete "$unfinished"
    made_of "$unfinished" >"$unfinished/made_of"
    # a folder of that name is none of ours, or from before it was a link
    [[ -L .venv || ! -e .venv ]] || mv .venv "$unfinished-before"
    "$python" -c 'import os, sys; os.symlink(*sys.argv[1:]); os.replace(sys.argv[2], ".venv")' \
        "$unfinished" "$unfinished-link"
}

remove_old() {
    local folder
    for folder in .venv-*; do
        [[ $folder -ef .venv ]] || rm -rf "$folder"
    done
}

good_enough() { current || { [[ $mode == any ]] && runs_the_lab; }; }

! good_enough || exit 0
[[ $mode != check ]] || exit 1
begin
! good_enough || exit 0 # another run made it meanwhile
if ! python=$(python); then
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        fail 1 "Python $oldest or newer with its venv module is needed; python3 is $(python3 -V 2>&1 || true)"
    fi
    update_lists
    step "installing Python" apt_install python3 python3-venv
    python=$(python) || fail 1 "Python $oldest or newer is needed; this system's is $(python3 -V)"
fi
remove_old
unfinished=$(mktemp -d .venv-XXXXXX)
chmod 755 "$unfinished"
step "making .venv" make_venv
unfinished=
