# Shared by the scripts beside it: messages, progress, one run at a time, apt, images with its packages.
# shellcheck shell=bash

me=${0##*/}
# shellcheck source-path=SCRIPTDIR source=environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

# fail STATUS REASON
fail() {
    echo "$me: $2" >&2
    exit "$1"
}

# macOS has no timeout command
command -v timeout >/dev/null || timeout() { shift && "$@"; }

# Waits for other runs on this machine; makes $tmp, which goes however the script ends, as does
# the folder that a script calls $unfinished.
begin() {
    if command -v flock >/dev/null; then
        local folder=/run
        ((EUID == 0)) || folder=${XDG_RUNTIME_DIR-}
        # after `su` the variable names the folder of somebody else
        [[ -d $folder && -O $folder && -w $folder ]] || folder=/tmp
        exec 9>>"$folder/wirelab-setup.$EUID.lock"
        flock --nonblock 9 || { echo "${me%.sh}: waiting for another run" >&2 && flock 9; }
    fi
    tmp='' underway=''
    trap end EXIT
    trap 'underway="" && echo "interrupted" >&2 && exit 130' INT
    trap 'underway="" && echo "interrupted" >&2 && exit 143' TERM HUP
    tmp=$(mktemp -d /var/tmp/wirelab.XXXXXX) # not /tmp, which may be small and in memory
}

# A step that fails exits 1, whatever the status of its command: callers go by the exit code.
end() {
    local status=$?
    if [[ -n $underway ]]; then
        status=1
        echo "failed:" >&2
        tail -n 20 "$tmp/log" >&2
    fi
    rm -rf "$tmp" ${unfinished:+"$unfinished"}
    exit $status
}

# step WHAT COMMAND...: a line of progress, and the command's own output only if it fails.
# Never call it in a condition: that would switch `set -e` off inside the command. The
# subshell keeps the command's redirections off the traps, which have something to say.
step() {
    local began=$SECONDS
    underway=$1
    printf '%s: %s ... ' "${me%.sh}" "$underway" >&2
    # fd 9: a daemon that a package starts must not inherit the lock
    ("${@:2}") </dev/null >>"$tmp/log" 2>&1 9>&-
    underway=
    echo "done in $((SECONDS - began)) s" >&2
}

# pip_install PYTHON LOCK: the packages of a lock file, into the environment of that Python.
pip_install() {
    "$1" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$2"
}

# at_least MINIMUM VERSION
at_least() {
    [[ -n $2 ]] && printf '%s\n' "$1" "${2#v}" | sort -VC
}

# Once per run; a source of somebody else's that fails is no reason to stop.
update_lists() {
    [[ -z ${updated-} ]] || return 0
    updated=yes
    step "updating the package lists" eval 'apt-get -q update || true'
}

# The version that apt would install, nothing if there is none.
candidate() {
    apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: \([0-9]*:\)\?//p' || true
}

# Waits for the automatic updates of a machine just started; never removes what is there.
apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -qy -o DPkg::Lock::Timeout=300 \
        --no-install-recommends --no-remove install "$@"
}

# mirror LABEL: where this machine's apt takes the archive "Debian" or "Debian-Security" from;
# nothing on other systems.
mirror() {
    command -v apt-get >/dev/null || return 0
    # shellcheck disable=SC2016  # apt fills it in
    apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' "Label: $1" | sed -n 1p
}

# Proxies as apt reads them: its own settings, or else the environment, in lower case there.
apt_proxies() {
    export http_proxy=${http_proxy-${HTTP_PROXY-}} https_proxy=${https_proxy-${HTTPS_PROXY-}}
    export no_proxy=${no_proxy-${NO_PROXY-}}
    eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy 2>/dev/null || true)"
}

# build_image IMAGE BASE DOCKERFILE CONTEXT: an image with Debian packages. The mirror is a secret,
# as the machine's own is nobody else's business, and build arguments are kept; those for proxies
# are not, and without a value here they are in no list of processes either.
build_image() {
    local archive
    archive=$(mirror Debian)
    [[ -z $archive ]] || echo "deb $archive trixie main" >"$tmp/sources"
    touch "$tmp/sources"
    apt_proxies
    docker build --progress plain --tag "$1" --build-arg PYTHON_IMAGE="$2" --label wirelab.base="$2" \
        --build-arg http_proxy --build-arg https_proxy --build-arg no_proxy \
        --secret id=sources,src="$tmp/sources" --file "$3" "$4"
}
