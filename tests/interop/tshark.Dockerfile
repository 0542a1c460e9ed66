# Wireshark's dissectors, for the tests of our own beside them. Nothing of it captures.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
FROM ${PYTHON_IMAGE}
# A base that the lab made itself knows no mirror: then the secret names the one of this machine.
RUN --mount=type=secret,id=sources \
    if [ -s /run/secrets/sources ]; then \
        set -- -o Dir::Etc::SourceList=/run/secrets/sources -o Dir::Etc::SourceParts=/dev/null; \
    fi; \
    apt-get "$@" -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get "$@" -qy --no-install-recommends install tshark \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
USER 10001:10001
