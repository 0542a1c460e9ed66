#!/usr/bin/env bash
# Says in one screen what the lab has and what it lacks; looks only, and changes nothing.
#
#   doctor.sh           all of it
#   doctor.sh machine   what can be said before there is a .venv; the rest is lab/doctor.py
#
#   ✓ there    – not there, and `make up` copes    ✗ `make up` would fail on this
#
# Exit codes: 0 `make up` can work; 1 something is marked ✗.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cd "$(dirname "$0")/.."

quick() { timeout 5 "$@" 2>/dev/null; }

# It reads the settings, which this script would have to read in the same way, and comes back.
if [[ ${1-} != machine ]] && quick .venv/bin/python -c 'import lab.doctor'; then
    exec .venv/bin/python -m lab doctor
fi

status=0 green='' yellow='' red='' plain=''
[[ ! -t 1 || -n ${NO_COLOR-} ]] || green=$'\e[32m' yellow=$'\e[33m' red=$'\e[31m' plain=$'\e[0m'
width=$([[ ! -t 1 ]] || tput cols 2>/dev/null) || width=80
# line MARK WHAT TEXT: on a terminal as wide as that, with what does not fit below
line() {
    local text=$3
    [[ -z $width ]] || text=$(fold -s -w $((width - 16)) <<<"$text" | sed '2,$s/^/                /')
    printf '%s%s %-12s  %s\n' "$1" "$plain" "$2" "$text"
}
there() { line "$green✓" "$@"; }
later() { line "$yellow–" "$@"; }
wrong() { line "$red✗" "$@" && status=1; }
may_install() { ((EUID == 0)) && command -v apt-get >/dev/null; }

user=$(id -un 2>/dev/null) || user=$EUID
system=$(sed -n 's/^PRETTY_NAME=//p' /etc/os-release 2>/dev/null | tr -d '"') || system=$(uname -sr)
there system "$system, $(uname -m), user $user"

for python in python3 python3.13 python3.12 python3.11 ''; do
    ! quick "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' || break
done
if [[ -n $python ]]; then
    there Python "$("$python" -V | cut -d' ' -f2), with venv"
elif may_install; then
    later Python "3.11 or newer with venv is missing: make up installs what the system offers"
else
    wrong Python "3.11 or newer with its venv module is missing: install both"
fi

if bash scripts/venv.sh check; then
    there .venv "holds the packages of requirements/dev.txt"
elif [[ -w . ]]; then
    later .venv "missing, or without the packages of requirements/dev.txt: make up makes it"
else
    wrong .venv "missing, or not one for user $user, who may not write into this folder"
fi

# What can be set up, and when, is up to engine.sh. Where no engine answers and none can be set
# up, the servers become local processes, so that nothing is wrong.
problem=$(bash scripts/engine.sh check 2>&1) || problem=${problem#engine.sh: }
address=${DOCKER_HOST:-unix:///var/run/docker.sock} engine=''
if version=$(quick docker --version); then
    version=${version#Docker version }
    there docker "${version%%,*}"
    address=$(quick docker context inspect --format '{{.Endpoints.docker.Host}}') || true
    [[ $problem == *" engine at "* || $problem == *" answers at "* ]] || engine=$(quick docker info --format '{{.ServerVersion}}') || true
else
    later docker "missing"
    problem="no Docker engine answers at $address"
fi
if [[ -n $engine ]] && at_least 20.10 "$engine"; then
    there engine "$engine at $address"
elif [[ -n $engine ]]; then
    wrong engine "$problem"
elif [[ -z ${DOCKER_HOST-} && $address == unix:///var/run/docker.sock ]] && may_install; then
    later engine "$problem: make up sets one up"
else
    advice=${problem#"${problem%%: *}"}
    later engine "${problem%%: *}"
    later "" "${advice:+${advice#: }, or }make up runs local processes"
fi

# plugin NAME MINIMUM VERSION
plugin() {
    if at_least "$2" "$3"; then
        there "$1" "$3"
    elif [[ -z $engine ]] || may_install || [[ -n $(mirror Debian) ]]; then
        later "$1" "${3:-missing}: $when installs it"
    else
        wrong "$1" "${3:-missing}: install it, $2 or newer"
    fi
}
when="where there is an engine, make up"
plugin Compose 2.26 "$(quick docker compose version --short || true)"
plugin buildx 0 "$(quick docker buildx version | cut -d' ' -f2 || true)"

for base in ${PYTHON_IMAGE:-$(sed -nE 's/^(official|own)=//p' scripts/base_image.sh)} ''; do
    [[ -z $engine || -z $base ]] || ! quick docker image inspect "$base" >/dev/null || break
done
if [[ -n $base ]]; then
    there "base image" "$base"
else
    later "base image" "${PYTHON_IMAGE:-missing}: $when pulls or builds it"
fi

if [[ ${1-} != machine ]]; then
    later "" "the settings, the key, the disk and the ports are looked at once there is a .venv"
    if ((status)); then
        printf '\nmake up would fail on what is marked ✗\n'
    else
        printf '\nmake up copes with what is marked –\n'
    fi
fi
exit $status
