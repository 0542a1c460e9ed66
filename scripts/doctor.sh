#!/usr/bin/env bash
# Says in one screen what the lab has and what it lacks; looks only, and changes nothing.
#
#   ✓ there    – not there, and `make up` copes    ✗ `make up` would fail on this
#
# Exit codes: 0 `make up` can work; 1 something is marked ✗.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cd "$(dirname "$0")/.."

# The settings in .env, as far as the environment has no others.
if [[ -f .env ]]; then
    while IFS== read -r name value; do
        [[ $name =~ ^[A-Z][A-Z0-9_]*$ && -z ${!name-} ]] || continue
        value=${value%% #*}
        value=${value#[\"\']}
        export "$name=${value%[\"\']}"
    done <.env
fi

status=0 green='' yellow='' red='' plain=''
[[ ! -t 1 || -n ${NO_COLOR-} ]] || green=$'\e[32m' yellow=$'\e[33m' red=$'\e[31m' plain=$'\e[0m'
line() { printf '%s%s %-12s  %s\n' "$1" "$plain" "$2" "${3:0:84}"; }
there() { line "$green✓" "$@"; }
later() { line "$yellow–" "$@"; }
wrong() { line "$red✗" "$@" && status=1; }
quick() { timeout 5 "$@" 2>/dev/null; }
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
address=${DOCKER_HOST:-unix:///var/run/docker.sock} engine='' folder=''
if version=$(quick docker --version); then
    version=${version#Docker version }
    there docker "${version%%,*}"
    address=$(quick docker context inspect --format '{{.Endpoints.docker.Host}}') || true
    [[ $problem == *" engine at "* || $problem == *" answers at "* ]] || IFS='|' read -r engine folder \
        < <(quick docker info --format '{{.ServerVersion}}|{{.DockerRootDir}}') || true
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

project=${COMPOSE_PROJECT_NAME:-$(sed -n 's/^name: //p' compose.yaml)}
images=$(sed -n "s/.*image: \${COMPOSE_PROJECT_NAME}/$project/p" compose.yaml)
total=$(grep -c . <<<"$images")
have=$([[ -z $engine ]] || quick docker images --format '{{.Repository}}' | sort -u | grep -cxF "$images") || true
if ((have == total)); then
    there images "$have of $total"
else
    later images "$((have)) of $total: $when builds them"
fi

# "SERVICE PORT" for each server of the lab that runs, as a container or else as a process.
containers() { [[ -z $engine ]] || quick docker ps --filter "label=com.docker.compose.project=$project" "$@" || true; }
servers=$(containers --format '{{.Label "com.docker.compose.service"}} {{.Ports}}' | sed -n 's/ [^>]*:\([0-9]*\)->.*/ \1/p')
count=$(containers --filter health=healthy --quiet | grep -c .) || true
what="containers healthy" state=.wirelab/$project/running.json
if [[ -z $servers && -r $state ]]; then
    servers=$(tr -d ' \n"' <"$state" | grep -oE '[a-z-]+:\{pid:[0-9]+,[^]]*' | sed 's/:{pid:\([0-9]*\),.*,/ \1 /' |
        while read -r name pid port; do [[ ! -d /proc/$pid ]] && ! kill -0 "$pid" 2>/dev/null || echo "$name $port"; done)
    count=$(grep -c . <<<"$servers") what="servers run as local processes" || true
fi
total=$(grep -c 'ports: \[' compose.yaml)
if ((count == total)); then
    there lab "$project: $count of $total $what"
elif [[ -n $servers ]]; then
    later lab "$project: $count of $total $what; see make ps, make logs"
else
    later lab "$project does not run: make up starts it"
fi

key=${WIRELAB_AUTHKEY_FILE:-secrets/authkey}
if [[ ! -e $key && -x $(dirname "$key") || ! -e $(dirname "$key") ]]; then
    later authkey "$key is missing: make up makes it"
elif ! length=$(tr -d '\r\n' 2>/dev/null <"$key" | wc -c); then
    wrong authkey "user $user may not read $key"
elif ((length < 32)); then
    wrong authkey "$key has $length characters, 32 are needed: remove it, and make up makes it anew"
else
    there authkey "$key, $length characters"
fi

bundle=''
for name in $(sed -n 's/^CA_VARIABLES = (\(.*\))$/\1/p' lab/package_index.py | tr -d '",'); do
    [[ -n $bundle || ! -f ${!name-} ]] || bundle="$name=${!name}"
done
if [[ -n $bundle ]]; then
    there certificates "builds trust $bundle"
else
    later certificates "no bundle is set: builds trust what the base image does"
fi

[[ -n $folder && -d $folder ]] || folder=/
free=$(($(df -Pk "$folder" | awk 'NR == 2 { print $4 }') / 1024))
if [[ $address != unix://* ]]; then
    later disk "of the engine's machine: not to be seen from here"
elif ((free >= 1024 || have > 0)); then
    there disk "$((free / 1024)) GB free in $folder"
else
    wrong disk "$free MB free in $folder: the first make up needs 1 GB"
fi

# taken HOST PORT PROTOCOL: whether somebody keeps a server off the port.
taken() {
    local a b c d address
    if [[ -n $engine && -n $(quick docker ps --quiet --filter "publish=$2/$3") ]]; then
        return
    elif [[ ! -r /proc/net/tcp ]]; then
        quick lsof -nPti "$3:$2" -sTCP:LISTEN >/dev/null
        return
    fi
    # Addresses are in hexadecimal there, the last byte first. State 0A is LISTEN.
    IFS=. read -r a b c d <<<"$1"
    printf -v address '%02X' "$d" "$c" "$b" "$a"
    { cat "/proc/net/$3" "/proc/net/${3}6" 2>/dev/null || true; } |
        awk -v at="^(0+|.*${address#00000000}):$(printf %04X "$2")\$" -v protocol="$3" \
            '$2 ~ at && (protocol == "udp" || $4 == "0A") { found = 1 } END { exit !found }'
}

pattern='ports: \["(.*):\$\{([A-Z_]+):-([0-9]+)\}:[0-9]+/(tcp|udp)"'
while IFS= read -r text; do
    [[ ! $text =~ ^"  "([a-z-]+):$ ]] || service=${BASH_REMATCH[1]}
    [[ $text =~ $pattern ]] || continue
    host=${BASH_REMATCH[1]} name=${BASH_REMATCH[2]} port=${BASH_REMATCH[3]} protocol=${BASH_REMATCH[4]}
    [[ $host == 127.* ]] || host=${WIRELAB_BIND:-127.0.0.1}
    port=${!name:-$port}
    if [[ ! $port =~ ^[0-9]{1,5}$ ]] || ((10#$port > 65535)); then
        wrong "$service" "$name has value '$port'. Not a port number (0 to 65535)"
    elif used=$(sed -n "s/^$service //p" <<<"$servers") && [[ -n $used && $port =~ ^(0|$used)$ ]]; then
        there "$service" "$host:$used/$protocol used by this lab"
    elif [[ $port == 0 ]]; then
        there "$service" "any free port of $host"
    elif taken "$host" "$port" "$protocol"; then
        wrong "$service" "$host:$port/$protocol is in use by others: free it, or set $name"
    else
        there "$service" "$host:$port/$protocol free"
    fi
done <compose.yaml

if ((status)); then
    printf '\nmake up would fail on what is marked ✗\n'
elif ((count == total)); then
    printf '\nthe lab runs\n'
else
    printf '\nmake up can start the lab, and copes with what is marked –\n'
fi
exit $status
