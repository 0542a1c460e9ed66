# One base, and one short target for each image. PYTHON_IMAGE is any Debian-like image with
# Python 3.13 and its venv module. Written for the BuildKit of Docker Engine 20.10: no heredocs,
# and no "syntax" line, which would fetch a frontend from an image registry.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

# The environment that every image runs in, without pip: nothing is installed at run time.
FROM ${PYTHON_IMAGE} AS python
RUN python3 -m venv --without-pip /venv
# The file system is read-only at run time, so what is not compiled now is compiled at each start.
RUN python3 -m compileall -q "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
# Nobody in these images changes into somebody else.
RUN find / -xdev -perm /6000 -type f -exec chmod a-s {} +
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /app
# `make distclean` leaves a base alone that the images of another lab name here.
ARG PYTHON_IMAGE
LABEL wirelab.base=${PYTHON_IMAGE}

# The packages of one image, by its lock file; pip lives here and stays here.
FROM python AS packages
ARG LOCK
RUN python3 -m venv /build
COPY requirements/${LOCK}.txt requirements.txt
# What `make kit` has packed has the packages of its lock files beside it.
COPY ki[t]/wheels wheels
RUN --mount=type=secret,id=ca_bundle \
    --mount=type=secret,id=pip_conf \
    --mount=type=cache,target=/pip-cache \
    if [ -s /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi; \
    if [ -s /run/secrets/pip_conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip_conf; fi; \
    if cmp -s requirements.txt "wheels/${LOCK}.txt"; then export PIP_NO_INDEX=1 PIP_FIND_LINKS=wheels; fi; \
    /build/bin/pip --python /venv/bin/python install --disable-pip-version-check \
        --cache-dir /pip-cache --no-deps --require-hashes --only-binary :all: -r requirements.txt

# Our own code, compiled once.
FROM python AS code
COPY clients clients
COPY services services
# As everyone may read it: on the host it may be for its owner alone.
RUN chmod -R u=rwX,go=rX .
RUN python -m compileall -q --invalidation-mode unchecked-hash .

# What every server has: the shared modules, and the clients for its health check.
FROM python AS server
ENV WIRELAB_HOST=0.0.0.0
COPY --from=code /app/clients clients
COPY --from=code /app/services/*.py services/
COPY --from=code /app/services/__pycache__ services/__pycache__
COPY --from=code /app/services/connection services/connection
COPY --from=code /app/services/safe_pickle services/safe_pickle
COPY --from=code /app/services/http services/http
COPY --from=code /app/services/wire services/wire
# A fresh named volume takes its owner from the folder that it is mounted on.
RUN install -d -o 10001 -g 10001 /data /run/wirelab
USER 10001:10001

FROM server AS tcp-echo
COPY --from=code /app/services/tcp_echo services/tcp_echo

FROM server AS udp-time
COPY --from=code /app/services/udp_time services/udp_time

FROM server AS rest
COPY --from=packages /venv /venv
COPY --from=code /app/services/rest services/rest

FROM server AS kv
COPY --from=packages /venv /venv
COPY --from=code /app/services/kv services/kv

# etcd as Debian has it. A base that the lab made itself knows no mirror: then the secret names that
# of this machine.
FROM python AS etcd
RUN --mount=type=secret,id=apt_sources \
    if [ -s /run/secrets/apt_sources ]; then \
        set -- -o Dir::Etc::SourceList=/run/secrets/apt_sources -o Dir::Etc::SourceParts=/dev/null; \
    fi; \
    apt-get "$@" -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get "$@" -qy --no-install-recommends install etcd-server \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
RUN install -d -o 10001 -g 10001 /data
USER 10001:10001

FROM server AS object-echo
COPY --from=code /app/services/object_echo services/object_echo

FROM server AS rpc
COPY --from=code /app/services/rpc services/rpc

FROM server AS httpbin
COPY --from=packages /venv /venv
COPY --from=code /app/services/httpbin services/httpbin

FROM server AS relay
COPY --from=packages /venv /venv
COPY --from=code /app/services/relay services/relay

FROM server AS console
COPY --from=packages /venv /venv
COPY --from=code /app/services/console services/console

FROM server AS clients
COPY --from=packages /venv /venv
