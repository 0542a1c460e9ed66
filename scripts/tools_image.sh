#!/usr/bin/env bash
# Builds the image with strace, iptables and tcpdump that tests/hostile uses, and prints its name.
# Everything else goes to stderr. Exit codes: 0; 1 it cannot be built.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

here=$(dirname "$0")
image=wirelab-tools:trixie

# A secret, as the machine's own mirror is nobody else's business, and build arguments are kept.
build() {
    local archive
    archive=$(mirror Debian)
    [[ -z $archive ]] || echo "deb $archive trixie main" >"$tmp/sources"
    touch "$tmp/sources"
    eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy 2>/dev/null || true)"
    docker build --quiet --tag $image --build-arg PYTHON_IMAGE="$base" \
        --build-arg http_proxy="${http_proxy-}" --build-arg https_proxy="${https_proxy-}" \
        --secret id=sources,src="$tmp/sources" \
        --file "$here/../tests/hostile/tools.Dockerfile" "$here/../tests/hostile"
}

base=$("$here/base_image.sh")
begin
step "building $image" build
echo $image
