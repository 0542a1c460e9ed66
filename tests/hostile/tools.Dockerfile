# What the tests put beside a container to trace it, or to lose and drop its packets.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
FROM ${PYTHON_IMAGE}
# A base that the lab made itself knows no mirror: then the secret names the one of this machine.
RUN --mount=type=secret,id=sources \
    if [ -s /run/secrets/sources ]; then \
        set -- -o Dir::Etc::SourceList=/run/secrets/sources -o Dir::Etc::SourceParts=/dev/null; \
    fi; \
    apt-get "$@" -q update \
    && apt-get "$@" -qy --no-install-recommends install iptables strace tcpdump \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
