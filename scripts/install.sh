#!/usr/bin/env bash
# Installs the lab from what `make kit` has packed: without a network, from a USB stick too.
#
#   ./install [FOLDER]   into a folder that is not there yet (default: ~/wirelab), and starts it
#
# First all files are compared with the list `contents`. Where the stick lets nothing run:
# `bash install`. Exit codes: 0 the lab runs; 1 it cannot be installed, and why.
set -euo pipefail
packed=$(CDPATH="" cd "$(dirname "$0")" && pwd)
[[ -f $packed/wirelab/scripts/common.sh ]] || {
    echo "install: there is no wirelab/scripts/common.sh beside it: unpack the whole archive" >&2
    exit 1
}
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$packed/wirelab/scripts/common.sh"

# Says what is missing or has another size, as a copy that broke off has; quicker than all sums.
different() {
    find . -type f -printf '%s %P\n' | awk '
        NR == FNR { wanted[$3] = $2; next }
        { found[$2] = $1 }
        END {
            for (path in wanted)
                if (!(path in found)) print path " is missing"
                else if (found[path] != wanted[path])
                    print path " has " found[path] " bytes, and " wanted[path] " are listed"
        }' contents -
}

compare() {
    local wrong
    cd "$packed"
    [[ -s contents ]] || { echo "contents is missing: unpack the archive again" && return 1; }
    wrong=$(different)
    [[ -z $wrong ]] || { echo "$wrong" && return 1; }
    awk '{ print $1 "  " $3 }' contents | sha256sum --check --quiet --strict
}

copy() {
    cp -R "$packed/wirelab/." "$unfinished"
    # A stick's file system knows neither owners nor modes.
    chmod -R u=rwX,go=rX "$unfinished"
}

made_on=$(cat "$kit/made_on" 2>/dev/null) || fail 1 "wirelab/kit/made_on is missing: unpack the archive again"
here=$(system)
[[ ${made_on##* } == "${here##* }" ]] ||
    fail 1 "the kit was made on $made_on: its images and packages do not run on the CPU of $here"
target=${1:-$HOME/wirelab}
[[ ! -e $target ]] ||
    fail 1 "$target is there already: start it by \`make up\` in it, or name another folder: ./install FOLDER"
parent=$(dirname "$target")
[[ -d $parent && -w $parent ]] || fail 1 "$target cannot be made: $parent is no folder that $(id -un) may write to"
if ! kit_has_packages; then
    bash "$packed/wirelab/scripts/engine.sh" check ||
        fail 1 "the kit's Debian packages are for $made_on: on $here it takes an engine with Compose and buildx that are there"
fi
kit_has_packages && ((EUID == 0)) || command -v make >/dev/null || fail 1 "make is missing: install it"

begin
durations=$tmp # the stick stays as it is
step "comparing $(wc -l <"$packed/contents" 2>/dev/null || echo 0) files with their sums" compare
unfinished=$(mktemp -d "$parent/.wirelab-XXXXXX")
step "copying to $target" copy
kit=$unfinished/kit
if ! command -v make >/dev/null; then
    update_lists
    step "installing make" apt_install make
fi
mv -T "$unfinished" "$target" # in one piece: until now nothing is there
unfinished=
exec 9>&- # the lock, which `make up` needs
cd "$target"
rm -rf "$tmp"
trap - EXIT
exec make up
