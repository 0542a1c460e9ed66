#!/usr/bin/env bash
# Prints the name of the Python image to build from: the first of
#
#   1. $PYTHON_IMAGE, as it is
#   2. the official image, if the engine has it
#   3. the lab's own base, if the engine has it
#   4. the one that a kit has, loaded with the kit's other images
#   5. the official image, pulled, if a registry answers
#   6. the lab's own base, built from Debian's packages: on Debian, as root
#
# Everything else goes to stderr. Exit codes: 0; 1 none of these is to be had.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

official=python:3.13-slim-trixie
own=wirelab-base:trixie

# Prints the first of the two that the engine has.
existing() {
    local image
    for image in $official $own; do
        if docker image inspect "$image" >/dev/null 2>&1; then
            echo "$image"
            return
        fi
    done
    return 1
}

# By Python, which is there by now: it can read the file also where there is no xz.
load_kit() {
    local unpack='import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)'
    python3 -c "$unpack" "$kit/images.tar.xz" | docker load
}

pull_official() {
    local mirrors
    mirrors=$(timeout 10 docker info --format '{{.RegistryConfig.Mirrors}}' 2>/dev/null)
    # The probe asks the registry itself, and only the engine asks its mirrors: where it has
    # some, only a pull can tell.
    [[ $mirrors != "[]" ]] || timeout 10 docker manifest inspect $official >/dev/null 2>&1 || return
    docker pull $official >&2
}

# Imported from a file: from a pipe, a build that breaks off would leave half an image.
# In a mount namespace of its own: what it mounts goes with it, before $tmp is removed.
build_own() {
    local suites=("deb $(mirror Debian) trixie main") security
    security=$(mirror Debian-Security)
    [[ -z $security ]] || suites+=("deb $security trixie-security main")
    apt_proxies # mmdebstrap does not read the machine's apt configuration
    # shellcheck disable=SC2016  # the hook's own $1: the machine's mirror is nobody else's
    TMPDIR=$tmp unshare --mount mmdebstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/lintian/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --customize-hook='rm "$1"/etc/apt/sources.list' \
        trixie "$tmp/base.tar" "${suites[@]}"
    docker import \
        --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'ENV LANG=C.UTF-8' \
        --change 'CMD ["python3"]' \
        --change "LABEL wirelab.base=$own" \
        "$tmp/base.tar" $own
}

choose() {
    if [[ -n ${PYTHON_IMAGE-} ]]; then
        echo "$PYTHON_IMAGE"
        return
    fi
    ! existing || return 0
    bash "$(dirname "$0")/engine.sh" check
    begin
    ! existing || return 0 # another run made it meanwhile
    if [[ -f $kit/images.tar.xz ]]; then
        step "loading the images of the kit" load_kit
        existing && return || fail 1 "$kit/images.tar.xz has no image to build from"
    fi
    if pull_official; then
        echo $official
        return
    fi
    if ((EUID != 0)) || ! grep -qs '^ID=debian$' /etc/os-release; then
        fail 1 "no registry answers for $official, and a base of Debian's packages takes root on Debian; set PYTHON_IMAGE, or run the servers without containers: make up-local"
    fi
    if ! command -v mmdebstrap >/dev/null || [[ -z $(mirror Debian) ]]; then
        update_lists
        step "installing mmdebstrap" apt_install mmdebstrap
    fi
    echo "base_image: no registry answers for $official" >&2
    step "building $own" build_own
    echo $own
}

choose
