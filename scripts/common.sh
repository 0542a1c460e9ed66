# Shared by the scripts beside it: messages, progress, one run at a time, apt, images with its packages.
# shellcheck shell=bash

me=${0##*/}
# shellcheck source-path=SCRIPTDIR source=environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
durations=$(dirname "${BASH_SOURCE[0]}")/../build/durations # how long each step took the last time
kit=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/kit        # in what `make kit` has packed: all that is needed

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
        local folder=/run lock holder
        ((EUID == 0)) || folder=${XDG_RUNTIME_DIR-}
        # after `su` the variable names the folder of somebody else
        [[ -d $folder && -O $folder && -w $folder ]] || folder=/tmp
        lock=$folder/wirelab-setup.$EUID.lock
        exec 9>>"$lock"
        if ! flock --nonblock 9; then
            holder=$(cat "$lock" 2>/dev/null) || true
            echo "${me%.sh}: waiting for ${holder:-another run}: one at a time sets up this machine" >&2
            flock 9
        fi
        { : >"$lock" && echo "${me%.sh} in ${kit%/kit}, process $$" >&9; } 2>/dev/null || true
    fi
    tmp='' underway=''
    trap end EXIT
    trap 'underway="" && stop_showing && echo "interrupted" >&2 && exit 130' INT
    trap 'underway="" && stop_showing && echo "interrupted" >&2 && exit 143' TERM HUP
    tmp=$(mktemp -d /var/tmp/wirelab.XXXXXX) # not /tmp, which may be small and in memory
}

# A step that fails exits 1, whatever the status of its command: callers go by the exit code.
end() {
    local status=$?
    stop_showing
    if [[ -n $underway ]]; then
        status=1
        echo "failed: ${me%.sh}: $underway" >&2
        tail -n 20 "$tmp/log" >&2
    fi
    rm -rf "$tmp" ${unfinished:+"$unfinished"}
    exit $status
}

# step WHAT COMMAND...: says what is being done, how far it is and how long it takes, and shows the
# command's own output only if it fails.
# Never call it in a condition: that would switch `set -e` off inside the command. The
# subshell keeps the command's redirections off the traps, which have something to say.
step() {
    local began=$SECONDS memory=$durations/${me%.sh}-${1//[^A-Za-z0-9.]/-} last
    underway=$1
    : >"$tmp/log"
    last=$(cat "$memory" 2>/dev/null) || last=0
    ((last > 1)) && last=" (last time $(duration "$last"))" || last=
    [[ -t 2 ]] || echo "${me%.sh}: $underway ...$last" >&2
    exec 8> >(show "${me%.sh}: $underway" "$last" 9>&-)
    shows=$!
    # fds 8 and 9: a daemon that a package starts must not inherit the lock, nor keep `show` going
    ("${@:2}") </dev/null >>"$tmp/log" 2>&1 8>&- 9>&-
    stop_showing
    echo "${me%.sh}: $underway: done in $(duration $((SECONDS - began)))" >&2
    underway=
    { mkdir -p "$durations" && echo $((SECONDS - began)) >"$memory"; } 2>/dev/null || true
}

# show WHAT LAST: on a terminal one line that changes each second, elsewhere a line every half a
# minute, until nobody has the other end of its input open.
show() {
    local began=$SECONDS said=$SECONDS columns=0 text status=142
    [[ ! -t 2 ]] || columns=$(terminal_columns)
    while ((status > 128)); do
        text="$1, $(duration $((SECONDS - began)))$2: $(how_far)"
        text=${text%: }
        if ((columns)); then
            printf '\r\e[K%s' "${text:0:columns-1}" >&2
        elif ((SECONDS - said >= 30)); then
            said=$SECONDS
            echo "$text" >&2
        fi
        status=0
        read -rt 1 || status=$?
    done
}

stop_showing() {
    [[ -n ${shows-} ]] || return 0
    exec 8>&-
    wait "$shows" 2>/dev/null || true
    shows=
    [[ ! -t 2 ]] || printf '\r\e[K' >&2
}

terminal_columns() {
    local size
    size=$(stty size <&2 2>/dev/null) && ((${size#* } > 0)) && echo "${size#* }" || echo 80
}

# duration SECONDS: as lab/durations.py writes it.
duration() {
    (($1 < 60)) && echo "$1 s" || echo "$(($1 / 60)) min $(($1 % 60)) s"
}

# What the command's output says of how far it is: that of pip (n of the packages that it may have
# to take), apt, mmdebstrap, and docker's builds and pulls.
how_far() {
    tr '\r' '\n' <"$tmp/log" | awk '
        { sub(/^#[0-9]+ [0-9.]+ /, "") } # of a command in a build
        /^[0-9]+ packages of / { packages = $1 }
        /^(Collecting|Ignoring) / { text = "package " ++collected (packages ? " of " packages : "") ", " $2 }
        /^Installing collected packages/ { text = "installing " gsub(/,/, "") + 1 " packages" }
        / newly installed/ { for (i = 3; i <= NF; i++) if ($i ~ /^newly/) total = $(i - 1) }
        /^Get:[0-9]+ / { text = "downloading " ($5 ~ /^\[/ ? $4 : $5) }
        /^(Unpacking|Setting up) / {
            name = $1 == "Setting" ? $3 : $2; count[$1]++
            text = ($1 == "Setting" ? "setting up " : "unpacking ") name ", " count[$1] (total ? " of " total : "")
        }
        /^I: / { text = substr($0, 4) }
        /^#[0-9]+ \[/ { sub(/^#[0-9]+ /, ""); text = $0 }
        /: (Pulling|Downloading|Extracting|Pull complete|Already exists)/ { layers[$1] = $2; text = "layers" }
        END {
            for (layer in layers) { all++; ready += layers[layer] == "Pull" || layers[layer] == "Already" }
            print text == "layers" ? ready + 0 " of " all " layers" : text
        }'
}

# pip_install PYTHON LOCK: the packages of a lock file, into the environment of that Python. Those of
# a lock file that a kit has are in the kit.
pip_install() {
    local from=()
    ! cmp -s "$2" "$kit/wheels/${2##*/}" || from=(--no-index --find-links "$kit/wheels")
    echo "$(grep -c == "$2") packages of $2" # for `how_far`
    "$1" -m pip install --disable-pip-version-check --require-hashes "${from[@]}" --requirement "$2"
}

# What Debian packages are made for: a system, its release and a CPU.
system() {
    (
        . /etc/os-release 2>/dev/null || ID=$(uname -s)
        echo "$ID ${VERSION_ID:-rolling} $(uname -m)"
    )
}

# The Debian packages of a kit are for the system that it was made on.
kit_has_packages() { [[ -d $kit/packages && $(system) == "$(cat "$kit/made_on")" ]]; }

# at_least MINIMUM VERSION
at_least() {
    [[ -n $2 ]] && printf '%s\n' "$1" "${2#v}" | sort -VC
}

# Once per run; a source of somebody else's that fails is no reason to stop. In a kit its packages are
# the only source, and its lists in folders of their own: apt leaves those of the machine as they are.
apt_options=()
update_lists() {
    [[ -z ${updated-} ]] || return 0
    updated=yes
    if kit_has_packages; then
        mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial"
        ln -s "$kit/packages" "$tmp/packages" # without the spaces that its path may have
        echo "deb [trusted=yes] file:$tmp/packages ./" >"$tmp/kit.list"
        apt_options=(-o "Dir::Etc::SourceList=$tmp/kit.list" -o Dir::Etc::SourceParts=/dev/null
            -o "Dir::State::Lists=$tmp/lists" -o "Dir::Cache=$tmp/cache" -o APT::Sandbox::User=root)
    fi
    # shellcheck disable=SC2016  # eval fills it in
    step "updating the package lists" eval 'apt-get -q "${apt_options[@]}" update || true'
}

# The version that apt would install, nothing if there is none.
candidate() {
    apt-cache "${apt_options[@]}" show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: \([0-9]*:\)\?//p' || true
}

# Waits for the automatic updates of a machine just started; never removes what is there.
apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -qy "${apt_options[@]}" -o DPkg::Lock::Timeout=300 \
        --no-install-recommends --no-remove install "$@"
}

# mirror LABEL: where this machine's apt takes the archive "Debian" or "Debian-Security" from;
# nothing on other systems.
mirror() {
    command -v apt-get >/dev/null || return 0
    # shellcheck disable=SC2016  # apt fills it in
    apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' "Label: $1" | sed -n 1p
}

# sources: the line of sources.list for a base that knows no mirror.
sources() {
    local archive
    archive=$(mirror Debian)
    [[ -z $archive ]] || echo "deb $archive trixie main"
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
    # A kit has the image, and no mirror.
    [[ ! -d $kit ]] || ! docker image inspect "$1" >/dev/null 2>&1 || return 0
    sources >"$tmp/sources"
    apt_proxies
    docker build --progress plain --tag "$1" --build-arg PYTHON_IMAGE="$2" --label wirelab.base="$2" \
        --build-arg http_proxy --build-arg https_proxy --build-arg no_proxy \
        --secret id=sources,src="$tmp/sources" --file "$3" "$4"
}
