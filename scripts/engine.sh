#!/usr/bin/env bash
# The engine that the lab runs on: Docker 20.10 or newer, Compose 2.26 or newer, buildx.
#
#   engine.sh check   exits 0 if all of it is there, otherwise says what is missing
#   engine.sh up      sets up what is missing and touches nothing else
#   engine.sh packages FOLDER
#                     downloads into a folder, for a kit, what `up` would install on such a
#                     machine if it had nothing yet, and Python and make
#   engine.sh down    stops the dockerd that `up` of this folder started by hand, unless a
#                     container runs in it
#
# Exit codes: 0 ready; 1 something failed that should have worked; 3 no engine answers and
# none can be set up here, so the caller may run the servers without one.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

socket=unix:///var/run/docker.sock
dockerd_log=/var/log/wirelab-dockerd.log
started_pid=/run/wirelab-dockerd.pid # the dockerd that this script started ...
started_by=/run/wirelab-dockerd.by   # ... and the folder that it did so from
here=$(cd "$(dirname "$0")/.." && pwd)
dockerd_pid=/var/run/docker.pid
containerd_pid=/var/run/docker/containerd/containerd.pid

address() {
    local address=${DOCKER_HOST:-$socket}
    if command -v docker >/dev/null; then
        address=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) || address="the chosen context"
    fi
    echo "$address"
}

engine_answers() { timeout 10 docker version >/dev/null 2>&1; }
compose_version() { docker compose version --short 2>/dev/null || true; }

# Says the first thing that is missing, nothing when all is there.
missing() {
    local answer
    if ! command -v docker >/dev/null; then
        echo "the docker command is missing"
    elif ! answer=$(timeout 10 docker version --format '{{.Server.Version}}' 2>&1); then
        if [[ $answer == *"permission denied"* ]]; then
            echo "the Docker engine at $(address) refuses user $(id -un): add the user to group docker, then log in again"
        else
            echo "no Docker engine answers at $(address)"
        fi
    elif answer=${answer##*$'\n'} && ! at_least 20.10 "$answer"; then
        echo "Docker Engine is $answer; wirelab needs 20.10 or newer"
    elif answer=$(compose_version) && ! at_least 2.26 "$answer"; then
        echo "Docker Compose is ${answer:-missing}; wirelab needs 2.26 or newer"
    elif ! docker buildx version >/dev/null 2>&1; then
        echo "Docker buildx is missing"
    fi
}

check() {
    local problem
    problem=$(missing)
    [[ -z $problem ]] || fail 1 "$problem"
}

up() {
    [[ -n $(missing) ]] || return 0
    begin
    engine_answers || provide_engine
    at_least 2.26 "$(compose_version)" || provide_plugin compose "${compose_packages[@]}"
    docker buildx version >/dev/null 2>&1 || provide_plugin buildx "${buildx_packages[@]}"
    check
}

provide_engine() {
    local problem
    problem=$(missing)
    # whoever names an engine means that one, not a new one
    [[ -z ${DOCKER_HOST-} && $(address) == "$socket" && $EUID == 0 ]] || fail 3 "$problem"
    if ! command -v docker >/dev/null || ! command -v dockerd >/dev/null; then
        install_engine "$problem"
    fi
    if [[ -d /run/systemd/system ]]; then
        step "starting docker" systemctl start docker
    else
        step "starting dockerd" start_dockerd
    fi
}

install_engine() {
    local problem=$1 answer
    command -v apt-get >/dev/null || fail 3 "$problem; one is installed on Debian and Ubuntu only"
    if [[ -t 0 && -t 2 && ${WIRELAB_YES-} != 1 ]]; then
        read -rp "No Docker engine answers. Install Docker Engine (package docker.io) on this machine? [y/N] " answer || true
        [[ $answer == [yY]* ]] || fail 3 "$problem, and none is to be installed"
    fi
    update_lists
    engine_packages
    # where the kernel has AppArmor, no container starts without its parser
    [[ $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) != Y ]] || packages+=(apparmor)
    step "installing docker.io" apt_install "${packages[@]}"
}

engine_packages() {
    packages=(docker.io iptables ca-certificates)
    # since Debian 13 the command is a package of its own
    [[ -z $(candidate docker-cli) ]] || packages+=(docker-cli)
}

# runs FILE NAME: the process whose id is in FILE is NAME, and no zombie.
runs() {
    [[ -s $1 && $(cat "/proc/$(<"$1")/stat" 2>/dev/null) == *" ($2) "[!Z]* ]]
}

start_dockerd() {
    local pid deadline=$((SECONDS + 60))
    # After a crash these may name other people's processes: dockerd would refuse to start,
    # or kill what it takes for its containerd.
    runs $dockerd_pid dockerd || rm -f $dockerd_pid
    runs $containerd_pid containerd || rm -f $containerd_pid
    grep -q ' cgroup2\? ' /proc/self/mounts || mount -t cgroup2 cgroup2 /sys/fs/cgroup
    if [[ -e $dockerd_pid ]]; then
        pid=$(<$dockerd_pid) # somebody's, not answering yet
    else
        (
            cd /
            ulimit -Sn hard # for the containers, which inherit it
            # a descriptor kept open would keep whoever reads from its pipe waiting for ever
            for fd in /proc/self/fd/*; do
                fd=${fd##*/}
                ((fd <= 2)) || exec {fd}>&-
            done
            # Ports by the kernel alone: the proxy for 127.0.0.1 forwards no empty datagram.
            proxy=--userland-proxy=false
            ! grep -qs userland-proxy /etc/docker/daemon.json || proxy=
            # a session of its own: no Ctrl-C reaches it
            exec setsid dockerd $proxy >$dockerd_log 2>&1
        ) &
        pid=$!
        echo $pid >$started_pid
        echo "$here" >$started_by
    fi
    until engine_answers; do
        if ((SECONDS >= deadline)) || ! kill -0 "$pid" 2>/dev/null; then
            tail -n 15 $dockerd_log
            ! runs $started_pid dockerd || kill "$(<$started_pid)"
            return 1
        fi
        sleep 0.2
    done
}

# The packages that have a plugin, one of which there may be, and the oldest version that will do.
compose_packages=(2.26 docker-compose-plugin docker-compose-v2 docker-compose)
buildx_packages=(0 docker-buildx-plugin docker-buildx)

# package_of MINIMUM PACKAGE...: the first that there is, in that version or a newer one.
package_of() {
    local package
    for package in "${@:2}"; do
        ! at_least "$1" "$(candidate "$package")" || { echo "$package" && return; }
    done
}

# provide_plugin NAME MINIMUM PACKAGE...
provide_plugin() {
    local package=
    if ((EUID == 0)) && command -v apt-get >/dev/null; then
        update_lists
        package=$(package_of "${@:2}")
    fi
    if [[ -n $package ]]; then
        step "installing $package" apt_install "$package"
    else
        [[ -d $kit/plugins || -n $(mirror Debian) ]] || check
        step "installing docker-$1 of Debian 13" extract_plugin "docker-$1"
    fi
}

# Debian 13's plugins need nothing but libc 2.34, so they run on Debian 12.
extract_plugin() {
    local folder=/usr/local/lib/docker/cli-plugins from=$kit/plugins
    ((EUID == 0)) || folder=$HOME/.docker/cli-plugins
    if [[ ! -d $from ]]; then
        from=$tmp/plugins
        download_plugin "$1" "$from"
    fi
    dpkg-deb --extract "$from/$1"_*.deb "$tmp"
    mkdir -p "$folder"
    install -m 755 "$tmp/usr/libexec/docker/cli-plugins/$1" "$folder/.$1.new"
    mv -f "$folder/.$1.new" "$folder/$1" # in one piece: others may run it meanwhile
}

# download_plugin PACKAGE FOLDER: in folders of its own apt leaves the machine's lists and choices as
# they are, and still checks the signatures.
download_plugin() {
    local apt=$tmp/apt
    local options=(-q -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache")
    if [[ ! -d $apt ]]; then
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror Debian) trixie main" >"$apt/sources.list"
        apt-get "${options[@]}" update
    fi
    mkdir -p "$2"
    cd "$2"
    apt-get "${options[@]}" download "$1"
}

# packages FOLDER
packages() {
    local plugins=() package folder
    command -v apt-get >/dev/null || fail 1 "the Debian packages of a kit take a Debian or Ubuntu to be made on"
    begin
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
    ((EUID != 0)) || update_lists
    engine_packages
    packages+=(python3 python3-venv make)
    [[ -z $(candidate apparmor) ]] || packages+=(apparmor) # the kernel there may have it
    for plugin in compose buildx; do
        local -n named=${plugin}_packages
        package=$(package_of "${named[@]}")
        [[ -n $package ]] && packages+=("$package") || plugins+=("docker-$plugin")
    done
    step "downloading the Debian packages" download_packages "$folder" "${packages[@]}"
    for plugin in "${plugins[@]}"; do
        compgen -G "$folder/plugins/${plugin}_*.deb" >/dev/null ||
            step "downloading $plugin of Debian 13" download_plugin "$plugin" "$folder/plugins"
    done
}

# download_packages FOLDER PACKAGE...: with all that they depend on, as for a machine that has nothing:
# what is here may not be there. `archives` is apt's own, and keeps what was downloaded before;
# `packages` is an archive for apt, with its index.
download_packages() {
    local file made=$1/packages options=(-qy -o Dir::State::status=/dev/null -o "Dir::Cache=$tmp/cache"
        -o APT::Sandbox::User=root -o Debug::NoLocking=1 --no-install-recommends)
    mkdir -p "$1/archives/partial" "$tmp/cache/archives/partial"
    apt-get "${options[@]}" -o "Dir::Cache::Archives=$1/archives" --download-only install "${@:2}"
    rm -rf "$made"
    mkdir "$made"
    # Into an empty folder all of them would have to be downloaded: these are their names.
    apt-get "${options[@]}" --print-uris install "${@:2}" | sed -n "s/^'.*' \([^ ]*\.deb\) .*/\1/p" |
        while read -r file; do
            # apt has %3a for a colon, which is one again in the address of a file
            ln "$1/archives/$file" "$made/${file/\%3a/-}"
        done
    cd "$made"
    for file in *.deb; do
        dpkg-deb --field "$file"
        printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' \
            "$file" "$(stat -c %s "$file")" "$(sha256sum "$file" | cut -d' ' -f1)"
    done >Packages
}

down() {
    local containers
    ((EUID == 0)) && runs $started_pid dockerd || return 0
    [[ $(<$started_pid) == "$(cat $dockerd_pid 2>/dev/null)" ]] || return 0
    [[ $(cat $started_by 2>/dev/null) == "$here" ]] || return 0 # another clone's, which may need it
    begin
    containers=$(timeout 10 docker --host $socket ps --quiet 2>/dev/null) || return 0
    [[ -n $containers ]] || step "stopping dockerd" stop_dockerd
}

stop_dockerd() {
    local deadline=$((SECONDS + 20))
    kill "$(<$started_pid)"
    while runs $started_pid dockerd || runs $containerd_pid containerd; do
        if ((SECONDS >= deadline)); then
            ! runs $started_pid dockerd || kill -KILL "$(<$started_pid)"
            ! runs $containerd_pid containerd || kill -KILL "$(<$containerd_pid)"
            ((SECONDS < deadline + 5)) || return 1
        fi
        sleep 0.1
    done
    rm -f $started_pid $started_by
}

case ${1-} in
    check | up | down) "$1" ;;
    packages) packages "${2:?}" ;;
    *) fail 2 "usage: engine.sh check|up|down|packages FOLDER" ;;
esac
