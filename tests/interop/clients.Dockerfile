# Clients in other languages, for the programs in the folders beside this file.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
FROM ${PYTHON_IMAGE}
# A base that the lab made itself knows no mirror: then the secret names the one of this machine.
# It has no manual pages either, and Java's packages link to theirs.
RUN --mount=type=secret,id=sources \
    if [ -s /run/secrets/sources ]; then \
        set -- -o Dir::Etc::SourceList=/run/secrets/sources -o Dir::Etc::SourceParts=/dev/null; \
    fi; \
    mkdir -p /usr/share/man/man1 \
    && apt-get "$@" -q update \
    && apt-get "$@" -qy --no-install-recommends install \
        curl jq \
        ruby ruby-xmlrpc \
        libfrontier-rpc-perl librpc-xml-perl \
        php-cli php-xmlrpc \
        default-jdk-headless libaxmlrpc-java \
        nodejs \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
# Node.js looks for packages in every folder above a program.
COPY node_modules /node_modules
# Only who names this folder in PYTHONPATH has these.
COPY python /python
